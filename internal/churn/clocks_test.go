package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// since is a moment of one pod: since when it is silent, or when it was last asked and then answered.
func since(pod string, second float64) map[string]time.Time {
	return map[string]time.Time{pod: at(second)}
}

// The time of a deletion comes from the API server's clock, and an agent's silence does not disprove that clock: an
// agent that is silent before its deletion was silent for another reason.
func TestADeletionAfterTheSilenceKeepsItsTime(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	gone := pod
	gone.Deleted = at(17)
	w := churn.NewWatch([]topology.Agent{pod}, at(0))
	w.Observe(snapshotOf(10, &pod))
	w.Observe(snapshotOf(20, &gone))
	w.ObserveSilence(since("a", 14))
	want := []report.Change{{Pod: "a", Node: "n", Kind: report.Deleted, WindowStart: at(17), WindowEnd: at(17)}}
	if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// The silence before the second of two restarts is compared with the time of the second.
func TestTheClockIsDoubtedForEachRestart(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	first, second := pod, pod
	first.Restarts, first.Ended, first.Started = 1, at(4), at(5)
	second.Restarts, second.Ended, second.Started = 2, at(17), at(18)
	w := churn.NewWatch([]topology.Agent{pod}, at(0))
	w.Observe(snapshotOf(10, &first))
	w.Observe(snapshotOf(20, &second))
	w.ObserveSilence(since("a", 14))
	want := []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: at(4), WindowEnd: at(5)},
		{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: at(10), WindowEnd: at(20)}}
	if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// An agent that was silent before the watch began did not fall silent because its node is removed.
func TestASilenceFromBeforeTheWatchIsNotOfARemovedNode(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	for _, c := range []struct {
		name   string
		silent float64
		want   []report.Change
	}{
		{"since the watch began", 0,
			[]report.Change{{Pod: "a", Node: "n", Kind: report.Drained, WindowStart: at(0), WindowEnd: at(10),
				NodeLeft: true}}},
		{"since before that", -1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{pod}, at(0))
			w.Observe(on(snapshotOf(10, &pod), topology.Node{Removing: "the autoscaler removes it"}))
			w.ObserveSilence(since("a", c.silent))
			if diff := cmp.Diff(c.want, w.Changes(nil)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPodThatIsDeletedFromANodeThatIsToBeRemovedWasDrained(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	gone := pod
	gone.Deleted = at(7)
	w := churn.NewWatch([]topology.Agent{pod}, at(0))
	w.Observe(on(snapshotOf(10, &gone), topology.Node{Removing: "the autoscaler removes it"}))
	want := []report.Change{{Pod: "a", Node: "n", Kind: report.Drained, WindowStart: at(7), WindowEnd: at(7)}}
	if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A pod that is gone does not answer: an answer after that does not show when the pod went.
func TestAnAnswerAfterAPodIsGoneIsNotItsOwn(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	for answered, from := range map[float64]float64{21.9: 19.9, 22: 10, 30: 10} {
		w := churn.NewWatch([]topology.Agent{pod}, at(0))
		w.Observe(snapshotOf(10, &pod))
		w.Observe(snapshotOf(20, nil))
		want := []report.Change{{Pod: "a", Node: "n", Kind: report.Deleted, WindowStart: at(from), WindowEnd: at(20)}}
		if diff := cmp.Diff(want, w.Changes(since("a", answered))); diff != "" {
			t.Errorf("answered at %v s: changes (-want +got):\n%s", answered, diff)
		}
	}
}
