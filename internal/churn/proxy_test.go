package churn_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// If a proxy may lead one client to one pod, and this pod is away, all of the client's requests may fail.
func TestProxies(t *testing.T) {
	type spans = [][3]float64
	type peers = map[string]uint64
	balancer := target.Target{ID: "service", Kind: target.LoadBalancer, Answer: target.Backends}
	ingress, service, shorted := balancer, balancer, balancer
	ingress.Kind, service.Kind, shorted.ShortCircuit = target.Ingress, target.ClusterIP, true
	all := spans{{50, 54.9, 50}}
	b := []report.Change{deletedAt("b", 50)}
	cases := []struct {
		name    string
		target  target.Target
		changes []report.Change
		peers   peers
		spans   spans
		want    uint64
	}{
		{"nobody knows who answered", balancer, b, nil, all, 50},
		{"the pod answered until it was deleted, and another one from then on", balancer, b, peers{"b": 500, "a": 450},
			all, 50},
		{"the same of an Ingress", ingress, b, peers{"b": 500, "a": 450}, all, 50},
		{"the same of a Service, which leads nobody to one pod", service, b, peers{"b": 500, "a": 450}, all, 0},
		{"the same of a load balancer that the node answers for", shorted, b, peers{"b": 500, "a": 450}, all, 0},
		{"the pod answered as much as comes due until then, less what failed", balancer, b, peers{"b": 439, "a": 438},
			all, 50},
		{"no pod answered as much as that", balancer, b, peers{"b": 438, "a": 437}, all, 0},
		{"the pod answered once", balancer, b, peers{"b": 1, "a": 449}, all, 50},
		{"another pod was away when the agent began", balancer, []report.Change{deletedAt("c", 0), b[0]},
			peers{"a": 950}, all, 0},
		{"the pod was away before, and never answered", balancer, []report.Change{restartedAt("b", -100, -98), b[0]},
			peers{"a": 950}, all, 0},
		{"three pods answered, and one change explains two", balancer, b, peers{"b": 500, "a": 449, "c": 1}, all, 0},
		{"three pods answered, and two changes explain them", balancer, []report.Change{b[0], deletedAt("a", 52)},
			peers{"b": 500, "a": 449, "c": 1}, all, 50},
		{"all four answered alike", balancer, b, peers{"a": 238, "b": 238, "c": 237, "d": 237}, all, 0},
		{"all four answered alike, and lost their share", balancer, b, peers{"a": 248, "b": 200, "c": 270, "d": 270},
			spans{{50, 54.9, 12}}, 12},
		{"another pod answered all", balancer, b, peers{"a": 950}, all, 0},
		{"another pod answered all, but lost a share", balancer, b, peers{"a": 988}, spans{{50, 54.9, 12}}, 12},
		{"the pod was deleted before it could answer", balancer, []report.Change{deletedAt("b", 1)}, peers{"a": 950},
			spans{{0, 4.9, 50}}, 50},
		{"the pod was deleted when it ought to have answered", balancer, []report.Change{deletedAt("b", 1.1)},
			peers{"a": 950}, spans{{0.1, 5, 50}}, 0},
		{"a load balancer may notice a deletion late", balancer, b, peers{"b": 500, "a": 199}, spans{{50, 80, 301}},
			301},
		{"a load balancer may notice a deletion half a minute late at most", balancer, b, peers{"b": 500, "a": 198},
			spans{{50, 80.1, 302}}, 0},
		{"a load balancer is away for half a minute", balancer, b, peers{"b": 500, "a": 499}, spans{{80, 80, 1}}, 1},
		{"a load balancer that the node answers for is not", shorted, b, peers{"b": 500, "a": 499},
			spans{{61.1, 61.1, 1}}, 0},
		{"an Ingress notices a deletion", ingress, b, peers{"b": 500, "a": 389}, spans{{50, 61, 111}}, 111},
		{"an Ingress notices a deletion within eleven seconds", ingress, b, peers{"b": 500, "a": 388},
			spans{{50, 61.1, 112}}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := measured(c.target, failure(probe.Timeout, c.spans...))
			p.Peers = c.peers
			if got := excusedRequests(roundOf("a", p, behindFour(), c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// A client that is led to one pod gets answers from this pod alone until something changes.
func TestAProxyThatSpreadsRequestsLeadsNobodyToOnePod(t *testing.T) {
	pods, changes := rollingChanges(20,
		func(pod string, i int) report.Change { return restartedAt(pod, 35+1.2*float64(i), 36+1.2*float64(i)) })
	spread := map[string]uint64{}
	for _, pod := range pods {
		spread[pod] = 42
	}
	// When all have changed, from 63.8 s to 100 s, 362 requests come due.
	for _, c := range []struct {
		name  string
		peers map[string]uint64
		count float64
		want  uint64
	}{
		{"all pods answered alike", spread, 157, 0},
		{"one pod answered all the time", map[string]uint64{"p03": 843}, 157, 0},
		{"one pod answered as much as comes due in the quiet time less what failed at any time",
			map[string]uint64{"p03": 311, "p04": 310, "p05": 310}, 50, 50},
		{"no pod answered so much", map[string]uint64{"p03": 310, "p04": 310, "p05": 310}, 50, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			span := [3]float64{45, 65, c.count}
			if c.count == 50 {
				span = [3]float64{38, 42.9, c.count}
			}
			p := measured(target.Target{ID: "lb", Kind: target.LoadBalancer}, failure(probe.Refused, span))
			p.Peers = c.peers
			if got := excusedRequests(roundOf("p00", p, []report.BackendSet{{Targets: []string{"lb"}, Pods: pods}},
				changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

func TestBackendSetsThatAreNotEven(t *testing.T) {
	pods := []string{"a", "b", "c", "d", "e", "f"}
	near := map[string]uint64{"a": 320, "b": 310, "c": 325}
	zones := report.BackendSet{Targets: []string{"service"}, Pods: pods,
		UnevenWhy: "trafficDistribution is PreferClose"}
	affine := report.BackendSet{Targets: []string{"service"}, Pods: pods, UnevenWhy: "sessionAffinity is ClientIP"}
	local := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a"},
		MayAlsoAnswer: []string{"b", "c", "d"}}
	for _, c := range []struct {
		name    string
		set     report.BackendSet
		peers   map[string]uint64
		changed string
		count   float64
		want    uint64
	}{
		{"one of the three pods of a zone: 48 of 100", zones, near, "b", 48, 48},
		{"one of the three pods of a zone: 49 of 100", zones, near, "b", 49, 0},
		{"a pod of another zone: its share of all", zones, near, "e", 28, 28},
		{"a pod of another zone: more than its share of all", zones, near, "e", 29, 0},
		{"the pod of a session", affine, map[string]uint64{"b": 500, "a": 400}, "b", 100, 100},
		{"the only near pod, which answered all until then, and then others", zones,
			map[string]uint64{"b": 489, "a": 200, "c": 200, "d": 11}, "b", 100, 100},
		{"one request more that another pod answered before", zones,
			map[string]uint64{"b": 388, "a": 200, "c": 200, "d": 112}, "b", 100, 0},
		{"not the pod of a session", affine, map[string]uint64{"b": 900}, "a", 100, 0},
		{"the only pod of a node", local, nil, "a", 100, 100},
		{"one of the pods that may answer instead: 38 of 100", local, map[string]uint64{"a": 961, "c": 1}, "b", 38, 38},
		{"one of the pods that may answer instead: 39 of 100", local, map[string]uint64{"a": 960, "c": 1}, "b", 39, 0},
		{"one of the pods that may answer instead, and never do", local, map[string]uint64{"a": 999}, "b", 1, 0},
		{"one of the pods that may answer instead, and nobody knows who does", local, nil, "b", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four([3]float64{50, 59.9, c.count})
			p.Peers = c.peers
			if got := excusedRequests(roundOf("x", p, []report.BackendSet{c.set},
				deletedAt(c.changed, 50))); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// If several shares explain all failures, the one that explains most of them counts.
func TestTheWayThatExplainsMostCounts(t *testing.T) {
	p := four([3]float64{50, 50, 1}, [3]float64{80, 80, 1})
	p.Peers = map[string]uint64{"b": 998}
	set := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d"},
		UnevenWhy: "sessionAffinity is ClientIP"}
	if got := excusedRequests(roundOf("x", p, []report.BackendSet{set}, deletedAt("a", 50),
		deletedAt("b", 80))); got != 2 {
		t.Errorf("%d requests are void, want 2", got)
	}
	p.Peers = map[string]uint64{"a": 997, "c": 1}
	set = report.BackendSet{Targets: []string{"service"}, Pods: []string{"a"}, MayAlsoAnswer: []string{"b", "c"}}
	if got := excusedRequests(roundOf("x", four([3]float64{50, 50, 1}), []report.BackendSet{set},
		deletedAt("b", 50))); got != 0 {
		t.Errorf("%d requests are void, want 0", got)
	}
	one := four([3]float64{50, 50, 1})
	one.Peers = p.Peers
	if got := excusedRequests(roundOf("x", one, []report.BackendSet{set}, deletedAt("b", 50))); got != 1 {
		t.Errorf("%d requests are void, want 1", got)
	}
}

func TestRequestsThatWereNotSentHadNoAnswer(t *testing.T) {
	for most, want := range map[uint64]uint64{429: 50, 428: 0} {
		p := measured(target.Target{ID: "service", Kind: target.LoadBalancer},
			failure(probe.Timeout, [3]float64{50, 54.9, 50}))
		p.Missed, p.Sent, p.OK, p.Peers = 10, 990, 940, map[string]uint64{"b": most, "a": 400}
		if got := excusedRequests(roundOf("a", p, behindFour(), deletedAt("b", 50))); got != want {
			t.Errorf("a pod that answered %d times: %d requests are void, want %d", most, got, want)
		}
	}
}

// It is not known exactly when the agent began, so it is not known whether the pod was there then.
func TestAPodThatMayHaveBeenAwayWhenTheAgentBeganNeverAnswered(t *testing.T) {
	for second, want := range map[float64]uint64{6: 50, 6.1: 0} {
		p := measured(target.Target{ID: "service", Kind: target.LoadBalancer},
			failure(probe.Timeout, [3]float64{5.1, 10, 50}))
		p.Peers = map[string]uint64{"a": 950}
		round := roundOf("a", p, behindFour(), deletedAt("b", second))
		round.Agents[0].Latest = at(5)
		if got := excusedRequests(round); got != want {
			t.Errorf("deleted at %v s: %d requests are void, want %d", second, got, want)
		}
	}
}
