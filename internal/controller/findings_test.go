package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// atNode is a finding about a node.
func atNode(node string) report.Finding {
	return report.Finding{Reason: "CommonNode", Where: "node " + node, Nodes: []string{node},
		Message: "every failing path ends at node " + node}
}

func TestARoundClearsFindingsOnlyWhereItMeasuredEnough(t *testing.T) {
	a, b := atNode("n1"), atNode("n2")
	type told struct{ Opened, Cleared, Open []report.Finding }
	for name, c := range map[string]struct {
		result verdict.Result
		found  []report.Finding
		known  bool
		want   told
	}{
		"a pass without findings clears all": {verdict.Pass, nil, true, told{Cleared: []report.Finding{a}}},
		"a failure with another finding": {verdict.Fail, []report.Finding{b}, true,
			told{Opened: []report.Finding{b}, Cleared: []report.Finding{a}, Open: []report.Finding{b}}},
		"no data clears nothing": {verdict.NoData, nil, true, told{Open: []report.Finding{a}}},
		"a limited round clears nothing, and may find more": {verdict.ToolLimited, []report.Finding{b}, true,
			told{Opened: []report.Finding{b}, Open: []report.Finding{a, b}}},
		"a round that was not judged": {"", nil, true, told{Open: []report.Finding{a}}},
		"nobody knows what was open": {verdict.Fail, []report.Finding{b}, false,
			told{Open: []report.Finding{b}}},
	} {
		t.Run(name, func(t *testing.T) {
			changes, open := compare(Summary{Result: c.result, Findings: c.found}, []report.Finding{a}, c.known)
			if diff := cmp.Diff(c.want, told{changes.opened, changes.cleared, open}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheRoundBeforeIsTheOneInMemoryOrTheStoredOne(t *testing.T) {
	a, b := atNode("n1"), atNode("n2")
	s := &shelf{found: map[schedule.Key][]report.Finding{key(4): {a}}}
	fails := func(n int64, found ...report.Finding) *Result {
		return &Result{Key: key(n), Summary: Summary{Result: verdict.Fail, Findings: found}}
	}
	rounds := NewRounds(func(context.Context, round.Request) (Summary, error) { return Summary{}, nil }, s,
		logr.Discard())
	check := func(what string, r *Result, opened, cleared []report.Finding) {
		t.Helper()
		rounds.compareWithBefore(t.Context(), r)
		if diff := cmp.Diff([][]report.Finding{opened, cleared},
			[][]report.Finding{r.changes.opened, r.changes.cleared}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("after a restart the stored round is the one before", fails(5, a, b), []report.Finding{b}, nil)
	check("then the one in memory is", fails(6, b), nil, []report.Finding{a})
	if err := rounds.Forget(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	check("the first round has none before it", fails(1, a), []report.Finding{a}, nil)
	if err := rounds.Forget(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	s.err = errors.New("the store is out of reach")
	check("without the store nothing is told of", fails(9, a), nil, nil)
	check("and what the round found is known to the next", fails(10), nil, []report.Finding{a})
}

func TestFindingsAreToldOfOnTheTaskAndOnTheirNodes(t *testing.T) {
	task := under(1, record(2, v1beta1.RecordOngoing, 0))
	result := passed(2, 0)
	result.Key, result.changes = key(2), findings{opened: []report.Finding{atNode("n1")},
		cleared: []report.Finding{{Reason: "OnlyKind", Where: "ClusterIP"}}}
	d := decide(state{task: task, result: result, now: created()})
	type told struct {
		Kind, Reason, Note string
		Nodes              []string
	}
	var got []told
	for _, e := range d.events {
		if e.finding != nil {
			got = append(got, told{e.kind, e.reason, e.note, e.nodes})
		}
	}
	want := []told{
		{"Warning", "FindingOpened", "NetReach task, round 2: every failing path ends at node n1.", []string{"n1"}},
		{"Normal", "FindingCleared", "NetReach task, round 2 no longer finds OnlyKind at ClusterIP.", nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARoundMakesABoundedNumberOfEventsAboutFindings(t *testing.T) {
	var many []report.Finding
	for n := range 500 {
		many = append(many, atNode(fmt.Sprintf("n%d", n)))
	}
	result := passed(2, 0)
	result.Key, result.changes = key(2), findings{opened: many}
	d := decide(state{task: under(1, record(2, v1beta1.RecordOngoing, 0)), result: result, now: created()})
	onTask, onNodes := 0, 0
	for _, e := range d.events {
		if e.finding != nil && !e.elsewhere {
			onTask++
		}
		onNodes += len(e.nodes)
	}
	if onTask != 20 || onNodes != 20 {
		t.Errorf("%d events on the task and %d on nodes, want 20 each", onTask, onNodes)
	}
}

// recorded is one event as the recorder got it.
type recorded struct{ Regarding, Related, Kind, Reason, Action, Note string }

// recorder keeps events with their objects.
type recorder struct{ all []recorded }

func (r *recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	r.all = append(r.all, recorded{nameOf(regarding), nameOf(related), kind, reason, action,
		fmt.Sprintf(note, args...)})
}

func nameOf(o runtime.Object) string {
	switch o := o.(type) {
	case *corev1.ObjectReference:
		return fmt.Sprintf("%s %s %s %s%s", o.APIVersion, o.Kind, o.Name, o.UID, o.FieldPath)
	case *v1beta1.NetReach:
		return "task " + o.Name
	}
	return ""
}

func TestEventsAboutFindingsNameWhatTheyAreAbout(t *testing.T) {
	events := &recorder{}
	r := New(Config{Kind: netreach.Kind(), Events: events})
	task := &v1beta1.NetReach{}
	task.Name = "pulse"
	at, everywhere := atNode("n1"), report.Finding{Reason: "OnlyKind", Where: "ClusterIP"}
	r.announceEvent(task, event{kind: warning, reason: FindingOpened, note: "a", finding: &at, nodes: at.Nodes})
	r.announceEvent(task, event{kind: warning, reason: FindingOpened, note: "b", finding: &everywhere})
	r.announceEvent(task, event{kind: warning, reason: FindingOpened, note: "c", finding: &at, nodes: at.Nodes,
		elsewhere: true})
	r.announceEvent(task, event{kind: normal, reason: RoundStarted, note: "100%"})
	node := "v1 Node n1 n1"
	want := []recorded{
		{"task pulse", node, "Warning", "FindingOpened", "CommonNode", "a"},
		{node, "task pulse", "Warning", "FindingOpened", "CommonNode", "a"},
		{"task pulse", "kdoctor.io/v1beta1 NetReach pulse ClusterIP", "Warning", "FindingOpened", "OnlyKind", "b"},
		{node, "task pulse", "Warning", "FindingOpened", "CommonNode", "c"},
		{"task pulse", "", "Normal", "RoundStarted", "RunRounds", "100%"},
	}
	if diff := cmp.Diff(want, events.all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
