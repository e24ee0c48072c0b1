package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// two is how many nodes it takes to see that agents reach each other.
const two = 2

// volume keeps reports on a folder of the machine, whatever becomes of the controller's pod.
const volume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: kdoctor-upgrade}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: upgrade
  hostPath: {path: %s}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: reports, namespace: kdoctor}
spec:
  resources: {requests: {storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  storageClassName: upgrade
`

// once is a task of one round, pulse a heartbeat. Both have the defaults of the first release.
const (
	once = `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: once}
spec:
  target: {ipv6: false}
`
	pulse = `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: pulse}
spec:
  schedule: {schedule: "0 1", roundNumber: -1}
`
)

// TestUpgrade goes from the first release to this one and back. No finished task may start, no round be hidden or lost,
// and a heartbeat goes on where it was.
func TestUpgrade(t *testing.T) {
	first := os.Getenv("KDOCTOR_FIRST")
	if first == "" {
		t.Fatal("KDOCTOR_FIRST is not set: run this through 'make e2e-upgrade', which builds the first release before")
	}
	folder := filepath.Join(t.TempDir(), "reports")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	// The pod has an id of its own.
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	c := rise(t, "e2e-upgrade", two)
	if err := c.Load(t.Context(), filepath.Join(first, "images", "agent.tar"),
		filepath.Join(first, "images", "controller.tar")); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "create", "namespace", cluster.Namespace)
	if _, err := c.Apply(t.Context(), fmt.Sprintf(volume, folder)); err != nil {
		t.Fatal(err)
	}
	claim := []string{"controller.reports.persistence.enabled=true",
		"controller.reports.persistence.existingClaim=reports"}
	before := c.Release(filepath.Join(first, "src", "charts", "kdoctor"), "0.1.0-first", claim...)
	now := c.Release("../../charts/kdoctor", os.Getenv("KDOCTOR_VERSION"), claim...)
	u := upgrade{c}

	install(t, before)
	for _, manifest := range []string{once, pulse} {
		if _, err := c.Apply(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
	}
	finished(t, c, "once")
	u.beats(t, 2)
	done := u.note(t)

	// Agents of the other release, under this controller: whatever they do not know is told in words.
	if err := now.InstallOnly(t.Context(), "--set", "agent.updateStrategy.type=OnDelete"); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "rollout", "status", "--namespace", cluster.Namespace, "--timeout=90s",
		"deployment/kdoctor-controller")
	u.told(t, "agents of the first release")

	install(t, now)
	u.wentOn(t, done, "an upgrade")
	u.readable(t, "once", 1)
	u.readable(t, "pulse", done.beats)

	done = u.note(t)
	// Helm 4 applies on the server, where the controller owns the type of the agents' Services. Helm 3 knows no
	// conflicts.
	install(t, before, "--force-conflicts")
	u.wentOn(t, done, "going back")
}

// install installs a release and waits until its agents are ready. Further arguments are helm's own.
func install(t *testing.T, c *cluster.Cluster, args ...string) {
	t.Helper()
	if err := c.Install(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "rollout", "status", "--namespace", cluster.Namespace, "--timeout=90s", "daemonset/kdoctor-agent")
}

type upgrade struct{ *cluster.Cluster }

// state is what a change of releases must leave as it is.
type state struct {
	finishTime string
	beats      int64
}

func (u upgrade) note(t *testing.T) state {
	t.Helper()
	one := task(t, u.Cluster, "once").Status
	if !one.Finish || *one.DoneRound != 1 {
		t.Fatalf("the task of one round has the status %+v", one)
	}
	return state{finishTime: one.FinishTime.String(), beats: *task(t, u.Cluster, "pulse").Status.DoneRound}
}

// beats waits until the heartbeat has so many rounds.
func (u upgrade) beats(t *testing.T, rounds int64) {
	t.Helper()
	eventually(t, time.Duration(rounds+2)*time.Minute, fmt.Sprintf("the heartbeat has %d rounds", rounds),
		func() error {
			if s := task(t, u.Cluster, "pulse").Status; s.DoneRound == nil || *s.DoneRound < rounds {
				return fmt.Errorf("the status is %+v", s)
			}
			return nil
		})
}

// wentOn reports what a change of releases did that it must not do, after one more beat.
func (u upgrade) wentOn(t *testing.T, before state, what string) {
	t.Helper()
	u.beats(t, before.beats+2)
	one, beat := task(t, u.Cluster, "once").Status, task(t, u.Cluster, "pulse").Status
	if !one.Finish || *one.DoneRound != 1 || one.FinishTime.String() != before.finishTime || len(one.History) != 1 {
		t.Errorf("%s: the finished task has the status %+v", what, one)
	}
	if beat.RoundsGeneration != 1 || beat.History[0].RoundNumber < before.beats {
		t.Errorf("%s: the heartbeat counts from 1: %+v", what, beat)
	}
	last := beat.History[slices.IndexFunc(beat.History, func(r v1beta1.Record) bool { return r.EndTimeStamp != nil })]
	if last.Status != v1beta1.RecordSucceed {
		t.Errorf("%s: round %d of the heartbeat: %+v", what, last.RoundNumber, last)
	}
	if shown := reportOf(t, u.Cluster, "pulse"); shown.Spec.ReportRoundNumber < last.RoundNumber {
		t.Errorf("%s: the report is that of round %d, and round %d is over", what, shown.Spec.ReportRoundNumber,
			last.RoundNumber)
	}
}

// readable reads the report of a round that the first release stored.
func (u upgrade) readable(t *testing.T, name string, round int64) {
	t.Helper()
	var found systemv1beta1.KdoctorReport
	if err := u.Get(t.Context(), &found, "kdoctorreport", fmt.Sprintf("netreach-%s:1.%d", name, round)); err != nil {
		t.Errorf("round %d of %s, which the first release stored: %v", round, name, err)
		return
	}
	if found.Spec.ReportRoundNumber != round || len(found.Spec.Report) != two {
		t.Errorf("round %d of %s has %d agents in its report", round, name, len(found.Spec.Report))
	}
}

// told waits for a round with agents of another release: it passes, or says why not with the agents' own words.
func (u upgrade) told(t *testing.T, what string) {
	t.Helper()
	from := *task(t, u.Cluster, "pulse").Status.DoneRound
	u.beats(t, from+2)
	history := task(t, u.Cluster, "pulse").Status.History
	last := history[slices.IndexFunc(history, func(r v1beta1.Record) bool { return r.EndTimeStamp != nil })]
	switch {
	case last.Status == v1beta1.RecordSucceed && *last.SucceedAgentNodeNumber == two:
	case last.Status == v1beta1.RecordFail && strings.Contains(last.FailureReason, "release"):
	default:
		t.Errorf("%s: round %d is %+v; want it to pass, or to say that a release does not know something", what,
			last.RoundNumber, last)
	}
}
