package churn_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// four returns a path over a Service of four pods, with failures in the spans.
func four(spans ...[3]float64) report.Path {
	return measured(target.Target{ID: "service", Kind: target.ClusterIP}, failure(probe.Refused, spans...))
}

func behindFour() []report.BackendSet {
	return []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d"}}}
}

// Ten requests a second come due, 100 of them from 50 s to 59.9 s. With one of four pods away, 25 of the 100 may fail,
// give or take 13.
func TestBoundsOfTheShare(t *testing.T) {
	type spans = [][3]float64
	b, c := deletedAt("b", 50), deletedAt("c", 50)
	cases := []struct {
		name    string
		changes []report.Change
		spans   spans
		want    uint64
	}{
		{"one of four pods: 38 of 100", []report.Change{b}, spans{{50, 59.9, 38}}, 38},
		{"one of four pods: 39 of 100", []report.Change{b}, spans{{50, 59.9, 39}}, 0},
		{"two of four pods: 66 of 100", []report.Change{b, c}, spans{{50, 59.9, 66}}, 66},
		{"two of four pods: 67 of 100", []report.Change{b, c}, spans{{50, 59.9, 67}}, 0},
		{"one of four pods as long as it is away: 42 of 111", []report.Change{b}, spans{{50, 61, 42}}, 42},
		{"one of four pods as long as it is away: 43 of 111", []report.Change{b}, spans{{50, 61, 43}}, 0},
		{"eight at one moment", []report.Change{b}, spans{{50, 50, 8}}, 8},
		{"nine at one moment", []report.Change{b}, spans{{50, 50, 9}}, 0},
		{"eight in a row among few others", []report.Change{b}, spans{{50, 50.7, 8}, {58, 58, 1}}, 9},
		{"nine in a row among few others", []report.Change{b}, spans{{50, 50.8, 9}, {58, 58, 1}}, 0},
		{"nine in a row at the end of few others", []report.Change{b}, spans{{50, 50, 1}, {58, 58.8, 9}}, 0},
		{"nine of twelve", []report.Change{b}, spans{{50, 51.1, 9}}, 9},
		{"ten of twelve", []report.Change{b}, spans{{50, 51.1, 10}}, 0},
		{"nine in a row in two spans", []report.Change{b}, spans{{50, 50.3, 4}, {50.4, 50.8, 5}, {58, 58, 1}}, 0},
		{"two deletions apart: 37 and 38", []report.Change{deletedAt("b", 15), deletedAt("c", 65)},
			spans{{15, 24.9, 37}, {65, 74.9, 38}}, 75},
		{"two deletions apart: 38 each", []report.Change{deletedAt("b", 15), deletedAt("c", 65)},
			spans{{15, 24.9, 38}, {65, 74.9, 38}}, 0},
		{"two deletions apart: one does not explain its 40", []report.Change{deletedAt("b", 15), deletedAt("c", 65)},
			spans{{15, 24.9, 40}, {65, 74.9, 1}}, 0},
		{"two deletions apart: one of two is chosen for its failures",
			[]report.Change{deletedAt("b", 15), deletedAt("c", 65)}, spans{{15, 24.9, 39}, {65, 74.9, 1}}, 40},
		{"a second before the deletion", []report.Change{b}, spans{{49, 49, 1}}, 1},
		{"just before that", []report.Change{b}, spans{{48.9, 48.9, 1}}, 0},
		{"eleven seconds after it", []report.Change{b}, spans{{61, 61, 1}}, 1},
		{"nine at that moment", []report.Change{b}, spans{{61, 61, 9}}, 0},
		{"a nanosecond after that nobody is away", []report.Change{b}, spans{{61.000000001, 61.000000001, 1}}, 0},
		{"just after that nobody is away", []report.Change{b}, spans{{61.1, 61.1, 1}}, 0},
		{"as long as somebody is away", []report.Change{b}, spans{{50, 61, 20}}, 20},
		{"until just after that", []report.Change{b}, spans{{50, 61.1, 20}}, 0},
		{"until another pod is away", []report.Change{b, deletedAt("c", 70)}, spans{{50, 69, 20}}, 20},
		{"until just before that", []report.Change{b, deletedAt("c", 70)}, spans{{50, 68.9, 20}}, 0},
		{"from a moment on at which nobody was away until another pod is", []report.Change{b, deletedAt("c", 70)},
			spans{{61.1, 71, 20}}, 0},
		{"from just before the deletion until just after it", []report.Change{b}, spans{{48.9, 52, 5}, {53, 53, 1}}, 1},
		{"more than the deletion explains from before it on disproves it", []report.Change{b},
			spans{{40, 55, 35}, {56, 56, 1}}, 0},
		{"failures that end before anybody was away disprove nothing", []report.Change{b},
			spans{{20, 48.9, 200}, {53, 53, 1}}, 1},
		{"failures that begin when nobody is away any more disprove nothing", []report.Change{b},
			spans{{53, 53, 1}, {61.1, 99, 200}}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := excusedRequests(roundOf("a", four(c.spans...), behindFour(), c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

func TestBoundsOfRestarts(t *testing.T) {
	type spans = [][3]float64
	short, open, long := restartedAt("b", 40, 42), report.Change{Pod: "b", Kind: report.Restarted, WindowStart: at(40)},
		restartedAt("b", 10, 70)
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"}
	service := target.Target{ID: "service", Kind: target.ClusterIP}
	cases := []struct {
		name    string
		target  target.Target
		changes []report.Change
		spans   spans
		want    uint64
	}{
		{"a Service, a second before the restart", service, []report.Change{short}, spans{{39, 39, 1}}, 1},
		{"a Service, just before that", service, []report.Change{short}, spans{{38.9, 38.9, 1}}, 0},
		{"a Service, five seconds after it", service, []report.Change{short}, spans{{47, 47, 1}}, 1},
		{"a Service, just after that", service, []report.Change{short}, spans{{47.1, 47.1, 1}}, 0},
		{"a Service, until five seconds after it", service, []report.Change{short}, spans{{40, 47, 9}}, 9},
		{"a Service, until just after that", service, []report.Change{short}, spans{{40, 47.1, 9}}, 0},
		{"a Service, half a minute after the pod went down", service, []report.Change{open}, spans{{70, 70, 1}}, 1},
		{"a Service, just after that", service, []report.Change{open}, spans{{70.1, 70.1, 1}}, 0},
		{"a Service, half a minute after the pod went down for long", service, []report.Change{long},
			spans{{40, 40, 1}}, 1},
		{"a Service, while the pod is down for long", service, []report.Change{long},
			spans{{40.1, 40.1, 1}, {68.9, 68.9, 1}}, 0},
		{"a Service, when the pod that was down for long comes back", service, []report.Change{long},
			spans{{69, 69, 1}, {75, 75, 1}}, 2},
		{"a Service, after the pod that was down for long came back", service, []report.Change{long},
			spans{{75.1, 75.1, 1}}, 0},
		{"a Service, a pod that is down for half a minute is away all the time", service,
			[]report.Change{restartedAt("b", 10, 41)}, spans{{40.1, 40.1, 1}}, 1},
		{"a Service, one that restarts twice is one", service,
			[]report.Change{restartedAt("b", 49, 50), restartedAt("b", 51, 57)}, spans{{50, 59.9, 39}}, 0},
		{"a Pod IP, a second before the restart", endpoint, []report.Change{short}, spans{{39, 39, 1}}, 1},
		{"a Pod IP, just before that", endpoint, []report.Change{short}, spans{{38.9, 38.9, 1}}, 0},
		{"a Pod IP, until ten seconds after it", endpoint, []report.Change{short}, spans{{39, 52, 130}}, 130},
		{"a Pod IP, until just after that", endpoint, []report.Change{short}, spans{{39, 52.1, 130}}, 0},
		{"a Pod IP, a pod that did not come back", endpoint, []report.Change{open}, spans{{39, 99.9, 600}}, 600},
		{"a Pod IP, a pod that restarts again and again", endpoint, []report.Change{short, restartedAt("b", 50, 58)},
			spans{{39, 68, 290}}, 290},
		{"a Pod IP, restarts whose times touch", endpoint, []report.Change{short, restartedAt("b", 53, 54)},
			spans{{39, 64, 250}}, 250},
		{"a Pod IP, restarts whose times do not touch", endpoint, []report.Change{short, restartedAt("b", 53.1, 54)},
			spans{{39, 64, 250}}, 0},
		{"a Pod IP, between two restarts", endpoint, []report.Change{short, restartedAt("b", 54, 58)},
			spans{{52, 54, 20}}, 0},
		{"a Pod IP, restarted and then deleted", endpoint, []report.Change{short, deletedAt("b", 50)},
			spans{{39, 99.9, 600}}, 600},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := measured(c.target, failure(probe.Refused, c.spans...))
			if got := excusedRequests(roundOf("a", path, behindFour(), c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// The counted requests and those over persistent connections are one path.
func TestWhatDisprovesOneStreamDisprovesTheOther(t *testing.T) {
	few, many := four([3]float64{50, 59.9, 38}), four([3]float64{50, 59.9, 39})
	for _, c := range []struct {
		name          string
		counted, kept report.Path
		want          uint64
	}{
		{"changes explain both", few, few, 76},
		{"too many counted requests failed", many, few, 0},
		{"too many requests over persistent connections failed", few, many, 0},
		{"nothing failed over persistent connections", few, four(), 38},
		{"nothing else failed", four(), few, 38},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.counted.Persistent = &c.kept
			if got := excusedRequests(roundOf("a", c.counted, behindFour(), deletedAt("b", 50))); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// It is not known exactly when an agent started. An agent that asked at 52 to 54 s, or up to five seconds later, may
// have met two pods that were away.
func TestTheShareHoldsAtSomeMomentAtWhichTheAgentMayHaveStarted(t *testing.T) {
	for _, c := range []struct {
		name   string
		latest float64
		count  float64
		want   uint64
	}{
		{"the start is known", 0, 15, 0},
		{"the start may have been later, or not", 5, 12, 12},
		{"the start may have been later", 5, 15, 15},
		{"the start may have been later, and two pods explain no more", 5, 20, 20},
		{"the start may have been later, but two pods do not explain all", 5, 21, 0},
		{"failures after the last moment at which somebody was away are judged", 5, -1, 0},
		{"the start may have been so much later that the failures came after the changes", 40, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			span := [3]float64{52, 54, c.count}
			if c.count < 0 {
				span = [3]float64{70, 70, 1}
			}
			round := roundOf("a", four(span), behindFour(), deletedAt("b", 50), deletedAt("c", 57))
			round.Agents[0].Latest = at(c.latest)
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

func TestTheShareHoldsAtTheEarliestMomentToo(t *testing.T) {
	// Two pods are away until 55 s, one until 61 s.
	round := roundOf("a", four([3]float64{50, 54, 25}), behindFour(), deletedAt("c", 44), deletedAt("b", 50))
	round.Agents[0].Latest = at(5)
	if got := excusedRequests(round); got != 25 {
		t.Errorf("%d requests are void, want 25", got)
	}
}

// Spans of several kinds of failure may lie within each other.
func TestSpansWithinOthers(t *testing.T) {
	p := four([3]float64{50, 59.9, 20})
	p.Failures = append(p.Failures, failure(probe.Reset, [3]float64{51, 52, 5}))
	if got := excusedRequests(roundOf("a", p, behindFour(), deletedAt("b", 50))); got != 25 {
		t.Errorf("%d requests are void, want 25", got)
	}
	p.Failures = append(p.Failures, failure(probe.Reset, [3]float64{51.2, 51.8, 10}))
	if got := excusedRequests(roundOf("a", p, behindFour(), deletedAt("b", 50))); got != 0 {
		t.Errorf("%d requests are void, want 0: 15 of 11 failed from 51 s to 52 s", got)
	}
}

func TestFailuresThatMayHaveComeWhileSomebodyWasAwayDisproveIt(t *testing.T) {
	for _, c := range []struct {
		latest float64
		want   uint64
	}{{0, 1}, {0.9, 1}, {1, 0}, {5, 0}} {
		round := roundOf("a", four([3]float64{45, 48, 40}, [3]float64{53, 53, 1}), behindFour(), deletedAt("b", 50))
		round.Agents[0].Latest = at(c.latest)
		if got := excusedRequests(round); got != c.want {
			t.Errorf("an agent that may have started up to %v s later: %d requests are void, want %d", c.latest, got,
				c.want)
		}
	}
}

// A path without a known end has no rate: as many requests as failed are known to have come due.
func TestAPathWithoutAnEnd(t *testing.T) {
	for count, want := range map[float64]uint64{5: 5, 6: 0} {
		p := four([3]float64{50, 52, count})
		p.Ended = time.Time{}
		if got := excusedRequests(roundOf("a", p, behindFour(), deletedAt("b", 50))); got != want {
			t.Errorf("%v failures: %d are void, want %d", count, got, want)
		}
		p.Ended = p.Started
		if got := excusedRequests(roundOf("a", p, behindFour(), deletedAt("b", 50))); got != want {
			t.Errorf("%v failures: %d are void, want %d", count, got, want)
		}
	}
}

func TestGroupsMayShareTheirPods(t *testing.T) {
	const sticky = "sessionAffinity is ClientIP"
	pods := []string{"b", "a", "c", "d"}
	groups := []report.BackendSet{
		{Targets: []string{"even", "balancer"}, Pods: pods},
		{Targets: []string{"sticky"}, Pods: pods, UnevenWhy: sticky},
		{Targets: []string{"none"}},
		{Targets: []string{"one"}, Pods: pods[:1]}, {Targets: []string{"other"}, Pods: []string{"a"}},
		{Targets: []string{"further"}, Pods: []string{"x"}, MayAlsoAnswer: pods[:1]},
		{Targets: []string{"furthest"}, Pods: []string{"x"}, MayAlsoAnswer: pods[:3]},
		{Targets: []string{"elsewhere"}, Pods: []string{"x"}, MayAlsoAnswer: []string{"a"}},
	}
	groups[6].Pods, groups[7].Pods = groups[5].Pods, groups[5].Pods
	round := roundOf("a", report.Path{}, groups, deletedAt("b", 50))
	round.Agents[0].Paths = nil
	var wants []uint64
	add := func(id string, kind target.Kind, span [3]float64, want uint64) {
		p := measured(target.Target{ID: id, Kind: kind}, failure(probe.Refused, span))
		p.Peers = map[string]uint64{"b": 500, "a": 300}
		round.Agents[0].Paths, wants = append(round.Agents[0].Paths, p), append(wants, want)
	}
	all, late := [3]float64{50, 54.9, 50}, [3]float64{70, 70, 1}
	add("even", target.ClusterIP, all, 0)
	add("sticky", target.ClusterIP, all, 50)
	add("none", target.ClusterIP, all, 0)
	add("one", target.ClusterIP, all, 50)
	add("other", target.ClusterIP, all, 0)
	add("even", target.ClusterIP, late, 0)
	add("balancer", target.LoadBalancer, late, 1)
	add("further", target.NodePort, [3]float64{50, 59.9, 38}, 38)
	add("furthest", target.NodePort, [3]float64{50, 59.9, 39}, 0)
	add("elsewhere", target.NodePort, [3]float64{50, 50, 1}, 0)
	for i, want := range wants {
		if p := churn.Excuse(round, nil).Agents[0].Paths[i]; p.Excused() != want {
			t.Errorf("path %d to %s: %d requests are void, want %d", i, p.Target.ID, p.Excused(), want)
		}
	}
}

// An agent that may have started later may also have ended later.
func TestTheEndOfAStreamIsNotKnownEither(t *testing.T) {
	for count, want := range map[float64]uint64{12: 12, 13: 0} {
		round := roundOf("a", four([3]float64{98, 99.9, count}), behindFour(), deletedAt("b", 99))
		round.Agents[0].Latest = at(5)
		if got := excusedRequests(round); got != want {
			t.Errorf("%v failures: %d are void, want %d", count, got, want)
		}
	}
}
