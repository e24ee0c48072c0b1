package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// A node's clock that is wrong by a few seconds may give a time between two snapshots. The agent's earlier silence
// shows that the clock is wrong.
func TestAnAgentThatIsSilentBeforeItsRestartHasAClockThatIsWrong(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	seen := func(second float64, restarts int32, ended, started time.Time) topology.Snapshot {
		a := pod
		a.Restarts, a.Ended, a.Started = restarts, ended, started
		return snapshotOf(second, &a)
	}
	restart := func(from, to float64) []report.Change {
		return []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: at(from), WindowEnd: at(to)}}
	}
	for _, c := range []struct {
		name   string
		silent time.Time
		want   []report.Change
	}{
		{"it never was", time.Time{}, restart(17, 18)},
		{"silent a second before, which is what clocks may differ by", at(16), restart(17, 18)},
		{"silent more than a second before", at(15.9), restart(12, 20)},
		{"silent when it was last seen well", at(10), restart(12, 20)},
		{"silent before it was seen well: that had another reason", at(9.9), restart(17, 18)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{pod}, at(0))
			w.Observe(seen(10, 0, time.Time{}, at(-1000)))
			w.Observe(seen(20, 1, at(17), at(18)))
			w.ObserveSilence(map[string]time.Time{"a": c.silent})
			if diff := cmp.Diff(c.want, w.Changes(map[string]time.Time{"a": at(14)})); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("one that is not back has no end", func(t *testing.T) {
		w := churn.NewWatch([]topology.Agent{pod}, at(0))
		w.Observe(seen(10, 0, time.Time{}, at(-1000)))
		w.Observe(seen(20, 0, at(17), time.Time{}))
		w.ObserveSilence(map[string]time.Time{"a": at(14)})
		want := []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: at(10)}}
		if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

// An agent that answered for the round after its end, as its node's clock gives it, has a clock that is behind.
func TestAnAgentThatAnswersAfterItsRestartHasAClockThatIsWrong(t *testing.T) {
	pod := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	for _, c := range []struct {
		name     string
		answered float64
		back     bool
		from, to float64
	}{
		{"it may still have answered while it ended", 15, true, 12, 13},
		{"it answered later", 15.1, true, 13.1, 20},
		{"it answered later, and is not back", 15.1, false, 13.1, 0},
		{"it answered just before the restart was noticed", 21.9, true, 19.9, 20},
		{"it answered when the restart had been noticed: it had restarted before it began", 22, true, 12, 13},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{pod}, at(0))
			a, want := pod, report.Change{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: at(c.from)}
			a.Ended, a.Started = at(12), time.Time{}
			if c.back {
				a.Restarts, a.Started, want.WindowEnd = 1, at(13), at(c.to)
			}
			w.Observe(snapshotOf(10, &pod))
			w.Observe(snapshotOf(20, &a))
			if diff := cmp.Diff([]report.Change{want},
				w.Changes(map[string]time.Time{"a": at(c.answered)})); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}
