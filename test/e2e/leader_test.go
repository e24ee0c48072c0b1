package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// takeover is within how long another controller leads after the one that led is gone without a word.
const takeover = 20 * time.Second

// TestReplicas is about two controllers.
func TestReplicas(t *testing.T) {
	onCluster(t, up(t, "e2e-replicas", nodes, nil), []clusterScenario{
		{"of two controllers the one that leads is lost, and the other goes on with its round", takenOver},
		{"a leader whose node loses the overlay leaves the lease to the other one, and reports can be read", outOfReach},
	})
}

// takenOver stops the process of the leading one of two controllers, which the others see like the loss of its node:
// the other leads in time, goes on with the round that ran, and serves its report.
func takenOver(t *testing.T, c *cluster.Cluster) {
	if err := c.Install(t.Context(), "--set", "controller.replicas=2"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Install(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	defer explained(t, c)
	leaders := func() []string {
		return strings.Fields(kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l",
			"kdoctor.io/leader=true,app.kubernetes.io/component=kdoctor-controller", "-o",
			"jsonpath={.items[*].metadata.name}"))
	}
	var first string
	eventually(t, time.Minute, "one of two controllers leads", func() error {
		now := leaders()
		pods := strings.Fields(kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l",
			"app.kubernetes.io/component=kdoctor-controller", "-o", "jsonpath={.items[*].metadata.name}"))
		if len(now) != 1 || len(pods) != 2 {
			return fmt.Errorf("leaders %v of %v", now, pods)
		}
		first = now[0]
		return nil
	})
	// The round is longer than it takes to notice, so that it runs when the other one takes over.
	apply(t, c, "taken-over", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: taken-over}
spec:
  schedule: {schedule: "0 2", roundTimeoutMinute: 2}
  request: {durationInSecond: 30, qps: 2, perRequestTimeoutInMS: 1000}
`)
	before := ongoing(t, c, "taken-over")
	process := agentProcess(t, first)
	if err := syscall.Kill(process, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		// The kubelet may have replaced the process meanwhile.
		if err := syscall.Kill(process, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}()
	began := time.Now()
	eventually(t, takeover, "the other controller leads", func() error {
		if now := leaders(); len(now) != 1 || now[0] == first {
			return fmt.Errorf("leaders %v, before it was %s", now, first)
		}
		return nil
	})
	t.Logf("the other controller led after %s", time.Since(began).Round(100*time.Millisecond))
	eventually(t, takeover, "the aggregated API answers", func() error {
		_, err := c.Kubectl(t.Context(), "get", "kdoctorreports", "--request-timeout=3s")
		return err
	})
	t.Logf("the aggregated API answered after %s", time.Since(began).Round(100*time.Millisecond))
	done := finished(t, c, "taken-over")
	if len(done.Status.History) != 1 || done.Status.History[0].Status != v1beta1.RecordSucceed ||
		!done.Status.History[0].StartTimeStamp.Equal(&before.Status.History[0].StartTimeStamp) {
		t.Errorf("the history is %+v; want the one round that began at %v, and its success", done.Status.History,
			before.Status.History[0].StartTimeStamp)
	}
	if shown := reportOf(t, c, "taken-over"); shown.Spec.ReportRoundNumber != 1 || len(shown.Spec.Report) != nodes {
		t.Errorf("the report is about round %d, with %d agents", shown.Spec.ReportRoundNumber, len(shown.Spec.Report))
	}
}
