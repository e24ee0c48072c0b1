package e2e

import (
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
)

// manyNodes is how many nodes one machine bears in the lab.
const manyNodes = 30

// TestManyNodes runs a round on as many nodes as one machine bears: every agent reaches every other by Pod IP, the
// ClusterIP and its own node's port, and the report, which is too large for one object, has figures in place of rows.
// The node ports of all nodes would double the requests, and two processors send 1,000 a second between the nodes of a
// lab, but not 2,000.
func TestManyNodes(t *testing.T) {
	c := up(t, "e2e-many", manyNodes, nil)
	log.SetLogger(logr.Discard())
	if _, err := c.Apply(t.Context(), `apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: many}
spec:
  schedule: {schedule: "0 1", roundNumber: 1, roundTimeoutMinute: 2}
  request: {durationInSecond: 20, qps: 1, perRequestTimeoutInMS: 5000}
  expect: {successRate: 1, meanAccessDelayInMs: 5000}
  target: {ipv4: true, endpoint: true, clusterIP: true, nodePort: true, nodePortNodes: Local, mesh: Auto}
`); err != nil {
		t.Fatal(err)
	}
	var task v1beta1.NetReach
	eventually(t, 3*time.Minute, "the round is over", func() error {
		if err := c.Get(t.Context(), &task, "netreach", "many"); err != nil {
			return err
		}
		if !task.Status.Finish {
			return fmt.Errorf("the status is %+v", task.Status)
		}
		return nil
	})
	if record := task.Status.History[0]; record.Status != v1beta1.RecordSucceed {
		t.Fatalf("the record is %+v", record)
	}
	var r systemv1beta1.KdoctorReport
	if err := c.Get(t.Context(), &r, "kdoctorreport", "netreach-many"); err != nil {
		t.Fatal(err)
	}
	const paths = manyNodes * (manyNodes + 2)
	if r.Spec.Summary == nil {
		t.Fatal("the report has no summary")
	}
	var passed, all int64
	for _, s := range r.Spec.Summary.Paths {
		all, passed = all+s.Paths, passed+s.Passed
	}
	if all != paths || passed != paths {
		t.Errorf("%d of %d paths passed, want all %d", passed, all, paths)
	}
	if cov := r.Spec.Coverage; cov == nil || cov.Mode != "Full" || cov.PairsProbed != manyNodes*manyNodes {
		t.Errorf("the report covers %+v", cov)
	}
	if len(r.Spec.Report) > 0 || r.Spec.ReportOmitted == "" {
		t.Errorf("the report has rows of %d agents, and says %q", len(r.Spec.Report), r.Spec.ReportOmitted)
	}
}
