package churn_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestExcusesSayWhatTheyExplain(t *testing.T) {
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"}
	b, c, later := deletedAt("b", 20), deletedAt("c", 24), deletedAt("d", 70)
	restart := restartedAt("b", 20, 22)
	cases := []struct {
		name    string
		path    report.Path
		changes []report.Change
		want    []report.Excuse
	}{
		{"a Pod IP", measured(endpoint, failure(probe.Timeout, [3]float64{20, 99.9, 700})), []report.Change{later, b},
			[]report.Excuse{{Changes: []report.Change{b}, First: at(20), Last: at(99.9), Explained: 700, Of: 800,
				Away: 1, Backends: 1}}},
		{"a Pod IP, a restart and then a deletion",
			measured(endpoint, failure(probe.Refused, [3]float64{20, 21, 11}, [3]float64{61, 99.9, 390})),
			[]report.Change{deletedAt("b", 60), restart},
			[]report.Excuse{{Changes: []report.Change{restart}, First: at(20), Last: at(21), Explained: 11, Of: 11,
				Away: 1, Backends: 1},
				{Changes: []report.Change{deletedAt("b", 60)}, First: at(61), Last: at(99.9), Explained: 390, Of: 390,
					Away: 1, Backends: 1}}},
		{"a Service whose pods are deleted by two", four([3]float64{20, 22, 5}, [3]float64{25, 27, 7}),
			[]report.Change{later, c, b},
			[]report.Excuse{{Changes: []report.Change{b, c}, First: at(20), Last: at(27), Explained: 12, Of: 71,
				Away: 2, Backends: 4}}},
		{"a Service that lost requests to one of them only", four([3]float64{20, 22, 5}), []report.Change{later, c, b},
			[]report.Excuse{{Changes: []report.Change{b}, First: at(20), Last: at(22), Explained: 5, Of: 21, Away: 1,
				Backends: 4}}},
		{"a Service, twice", four([3]float64{20, 22, 5}, [3]float64{70, 71, 3}), []report.Change{later, b},
			[]report.Excuse{{Changes: []report.Change{b}, First: at(20), Last: at(22), Explained: 5, Of: 21, Away: 1,
				Backends: 4},
				{Changes: []report.Change{later}, First: at(70), Last: at(71), Explained: 3, Of: 11, Away: 1,
					Backends: 4}}},
		{"a Service, and once when nobody was away any more", four([3]float64{20, 22, 5}, [3]float64{40, 40, 1}),
			[]report.Change{b},
			[]report.Excuse{{Changes: []report.Change{b}, First: at(20), Last: at(22), Explained: 5, Of: 21, Away: 1,
				Backends: 4}}},
		{"more failures than came due", four([3]float64{20, 20, 4}), []report.Change{b},
			[]report.Excuse{{Changes: []report.Change{b}, First: at(20), Last: at(20), Explained: 4, Of: 4, Away: 1,
				Backends: 4}}},
		{"a Service that is broken", four([3]float64{20, 30, 100}), []report.Change{b}, nil},
		{"a Service whose pods changed at another time", four([3]float64{20, 20, 1}), []report.Change{later}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kept := c.path
			c.path.Persistent = &kept
			p := churn.Excuse(roundOf("a", c.path, behindFour(), c.changes...), nil).Agents[0].Paths[0]
			if diff := cmp.Diff(c.want, p.Excuses); diff != "" {
				t.Errorf("excuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(p.Excuses, p.Persistent.Excuses); diff != "" {
				t.Errorf("excuses of persistent connections are others (-counted +persistent):\n%s", diff)
			}
			var explained uint64
			for _, e := range p.Excuses {
				explained += e.Explained
			}
			if explained != p.Excused() || explained != p.Persistent.Excused() {
				t.Errorf("%d requests are explained, %d counted and %d others are void", explained, p.Excused(),
					p.Persistent.Excused())
			}
		})
	}
}

// The time of an excuse is by the controller's clock. Its uncertainty is the uncertainty of the agent's start.
func TestExcusesAreByTheControllersClock(t *testing.T) {
	round := roundOf("a", four([3]float64{50, 52, 5}), behindFour(), deletedAt("b", 50))
	round.Agents[0].Earliest, round.Agents[0].Latest = at(0.5), at(2)
	excuses := churn.Excuse(round, nil).Agents[0].Paths[0].Excuses
	if len(excuses) != 1 || !excuses[0].First.Equal(at(50.5)) || !excuses[0].Last.Equal(at(54)) || excuses[0].Of != 21 {
		t.Errorf("excuses %+v", excuses)
	}
}

// Failures of kinds that no missing backend causes stay, beside others that are excused.
func TestOtherFailuresStay(t *testing.T) {
	p := measured(target.Target{ID: "service", Kind: target.ClusterIP}, failure(probe.DNSFailed, [3]float64{50, 52, 3}),
		failure(probe.Refused, [3]float64{50, 52, 5}),
		failure(probe.Reset, [3]float64{51, 52, 2}, [3]float64{90, 91, 2}))
	p.Excuses = []report.Excuse{{Explained: 9}}
	got := churn.Excuse(roundOf("a", p, behindFour(), deletedAt("b", 50)), nil).Agents[0].Paths[0]
	if got.Failures[0].Excused != 0 || got.Failures[1].Excused != 5 || got.Failures[2].Excused != 2 ||
		len(got.Excuses) != 1 ||
		got.Excuses[0].Explained != 7 {
		t.Errorf("failures %+v, excuses %+v", got.Failures, got.Excuses)
	}
	if p.Failures[1].Excused != 0 {
		t.Error("the path that was given is changed")
	}
}

// An excuse counts all backends that may answer, whichever of them the agent was led to.
func TestExcusesCountAllThatMayAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   report.BackendSet
		peers map[string]uint64
		want  int
	}{
		{"one pod of a session",
			report.BackendSet{Pods: []string{"a", "b", "c", "d", "e"}, UnevenWhy: "sessionAffinity is ClientIP"},
			map[string]uint64{"b": 950}, 5},
		{"pods that may answer instead", report.BackendSet{Pods: []string{"a"}, MayAlsoAnswer: []string{"b", "c"}},
			map[string]uint64{"a": 600, "c": 350}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four([3]float64{20, 20, 2})
			p.Peers, c.set.Targets = c.peers, []string{"service"}
			excuses := churn.Excuse(roundOf("x", p, []report.BackendSet{c.set}, deletedAt("b", 20)),
				nil).Agents[0].Paths[0].Excuses
			if len(excuses) != 1 || excuses[0].Backends != c.want || excuses[0].Away != 1 {
				t.Errorf("excuses %+v, want one with %d backends", excuses, c.want)
			}
		})
	}
}

// One pod for all requests is not assumed if another share explains as many failures.
func TestTheLeastOfSeveralExplanationsCounts(t *testing.T) {
	p := measured(target.Target{ID: "service", Kind: target.LoadBalancer},
		failure(probe.Timeout, [3]float64{50, 50, 2}))
	p.Peers = map[string]uint64{"b": 500, "a": 498}
	b, c := deletedAt("b", 50), deletedAt("c", 50)
	want := []report.Excuse{{Changes: []report.Change{b, c}, First: at(50), Last: at(50), Explained: 2, Of: 2, Away: 2,
		Backends: 4}}
	if diff := cmp.Diff(want,
		churn.Excuse(roundOf("a", p, behindFour(), c, b), nil).Agents[0].Paths[0].Excuses); diff != "" {
		t.Errorf("excuses (-want +got):\n%s", diff)
	}
}
