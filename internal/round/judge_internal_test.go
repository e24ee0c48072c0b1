package round

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
)

func TestTheKeptRoundTellsWhatWasPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		plan := store.StoredPlan{Started: now.Add(-time.Minute), Deadline: now.Add(time.Minute), Mesh: mesh.Mesh{
			Load: report.RequestBudget{Asked: 100, Granted: 25, Limit: 50, Targets: 2, Connections: 50,
				Tracked: 500},
			Expected: []report.Expected{{Pod: "a", Node: "n", LeftOutWhy: "pod is Pending"}},
			Backends: []report.BackendSet{{Targets: []string{"t"}, Pods: []string{"a", "b"}}},
			Gaps:     []target.Gap{{Kind: target.Ingress, Reason: "there is no Ingress"}},
			Outside:  []report.Outside{{Node: "m", Reason: "its node selector leaves it out"}},
		}}
		req := Request{Key: schedule.Key{UID: "u", Round: 3}, Task: report.TaskRef{Kind: "NetReach", Name: "x"},
			Spec: json.RawMessage(`{"a":1}`)}
		want := report.Round{
			Key: req.Key, Task: req.Task, Started: plan.Started, Deadline: plan.Deadline, Ended: now,
			Budget:   plan.Mesh.Load,
			Expected: plan.Mesh.Expected, Backends: plan.Mesh.Backends, Gaps: plan.Mesh.Gaps,
			Outside:  plan.Mesh.Outside,
			Missing:  []report.Missing{{Pod: "a", Node: "n", Reason: "pod is Pending"}},
			Coverage: report.Coverage{Mode: report.Full, Rounds: 1},
		}
		kept := judge(req, plan, nil, nil)
		if diff := cmp.Diff(want, kept.Round, cmp.AllowUnexported(stats.Histogram{})); diff != "" {
			t.Errorf("round (-want +got):\n%s", diff)
		}
		if string(kept.Spec) != `{"a":1}` {
			t.Errorf("the spec kept with the round is %s", kept.Spec)
		}
	})
}

func TestAnErrorIsCutToOneLine(t *testing.T) {
	a := strings.Repeat("a", 299)
	for _, c := range []struct{ name, text, want string }{
		{"lines and spaces become single spaces", "no  route\n\tto host\n", "no route to host"},
		{"300 bytes stay", a + "b", a + "b"},
		{"what is longer is cut", a + "bc", a + "b..."},
		{"and not within a letter", a + "é", a + "..."},
	} {
		if got := clause(errors.New(c.text)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhenAnAgentStarted(t *testing.T) {
	at := func(second float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(second * float64(time.Second)))
	}
	never := time.Time{}
	cases := []struct {
		name                            string
		earliest, latest, running, done time.Time
		wantEarliest, wantLatest        time.Time
	}{
		{"a start that was acknowledged late is told by the end", at(0), at(12), at(13), at(14), at(3), at(4)},
		{"a start that was acknowledged at once is known better than the end", at(0), at(0.1), at(9), at(11), at(0),
			at(0.1)},
		{"an agent that nobody saw running ended at some time before", at(0), at(12), never, at(14), at(0), at(4)},
		{"a start that another process sent is told by the end", never, never, at(13), at(14), at(3), at(4)},
		{"a start of which nothing is known but the end has no earliest moment", never, never, never, at(14), never,
			at(4)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			earliest, latest := narrowStart(c.earliest, c.latest, c.running, c.done, 10*time.Second)
			if !earliest.Equal(c.wantEarliest) || !latest.Equal(c.wantLatest) {
				t.Errorf("between %v and %v, want %v and %v", earliest, latest, c.wantEarliest, c.wantLatest)
			}
		})
	}
}
