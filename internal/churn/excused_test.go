package churn_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// failure is of attempts that started within the spans, given as pairs of seconds since the start of the path and a
// count.
func failure(outcome probe.Outcome, spans ...[3]float64) report.Failure {
	f := report.Failure{Outcome: outcome, Phase: probe.Connect}
	for _, s := range spans {
		f.Spans = append(f.Spans,
			report.Span{First: time.Duration(s[0] * 1e9), Last: time.Duration(s[1] * 1e9), Count: uint64(s[2])})
		f.Count += uint64(s[2])
	}
	return f
}

// measured is a path of 10 requests a second for 100 seconds from the start of the round on.
func measured(t target.Target, failures ...report.Failure) report.Path {
	p := report.Path{Target: t, Scheduled: 1000, Sent: 1000, OK: 1000, Started: at(0), Ended: at(100),
		Failures: failures}
	for _, f := range failures {
		p.OK -= f.Count
	}
	return p
}

func TestVoid(t *testing.T) {
	endpoint := target.Target{ID: "AgentPodV4IP_b", Kind: target.Endpoint, Pod: "b", Node: "nb"}
	service := func(kind target.Kind) target.Target { return target.Target{ID: "service", Kind: kind} }
	local := target.Target{ID: "local", Kind: target.NodePort, OnlyNode: "nb"}
	gone := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(50), WindowEnd: at(52)}
	restart := report.Change{Pod: "b", Node: "nb", Kind: report.Restarted, WindowStart: at(50), WindowEnd: at(52)}
	crashed := report.Change{Pod: "b", Node: "nb", Kind: report.Restarted, WindowStart: at(50)}
	late := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(99), WindowEnd: at(99)}
	withStatus := func(p report.Path, status int, n uint64) report.Path {
		p.Statuses = map[int]uint64{200: p.OK, status: n}
		return p
	}
	const refused, timeout = probe.Refused, probe.Timeout
	cases := []struct {
		name   string
		change report.Change
		path   report.Path
		want   uint64
	}{
		// The only peer changed.
		{"a pod that is deleted does not answer any more", gone,
			measured(endpoint, failure(timeout, [3]float64{50, 99, 490})), 490},
		{"a request that started just before the deletion is cut off by it", gone,
			measured(endpoint, failure(probe.Reset, [3]float64{49.5, 49.5, 1})), 1},
		{"a pod that never answered and is deleted at the end was not silent for that reason", late,
			measured(endpoint, failure(timeout, [3]float64{0, 99.9, 1000})), 0},
		{"failures before the deletion count, those after it do not", gone,
			measured(endpoint, failure(timeout, [3]float64{10, 12, 20}, [3]float64{50, 99, 490})), 490},
		{"failures that went on from before the deletion count", gone,
			measured(endpoint, failure(timeout, [3]float64{40, 99, 590})), 0},
		{"the address of a deleted pod may be another's by then", gone,
			measured(endpoint, failure(probe.WrongPeer, [3]float64{60, 99, 400}),
				failure(probe.BadStatus, [3]float64{55, 59, 40})), 440},
		{"an agent that could not send was not kept from it by its peer", gone,
			measured(endpoint, failure(probe.NotSent, [3]float64{60, 99, 400})), 0},
		{"an agent that restarts does not answer until it is back", restart,
			measured(endpoint, failure(refused, [3]float64{50, 53, 30})), 30},
		{"an agent that was back long ago ought to answer", restart,
			measured(endpoint, failure(refused, [3]float64{50, 53, 30}, [3]float64{90, 99, 90})), 30},
		{"an agent that did not come back does not answer", crashed,
			measured(endpoint, failure(refused, [3]float64{50, 99, 490})), 490},
		{"a path to another pod has nothing to do with it", gone,
			measured(target.Target{ID: "x", Kind: target.Endpoint, Pod: "c"},
				failure(timeout, [3]float64{50, 99, 490})), 0},
		{"an agent that does not tell when it failed excuses nothing", gone,
			measured(endpoint, report.Failure{Outcome: timeout, Count: 490}), 0},
		// One of four backends changed.
		{"a Service leads to a deleted pod for a moment", gone,
			measured(service(target.ClusterIP), failure(refused, [3]float64{50, 52, 6})), 6},
		{"a node port that fails all round long while a pod is deleted is broken", gone,
			measured(service(target.NodePort), failure(refused, [3]float64{0, 99.9, 1000})), 0},
		{"a node port that fails all round long and a pod that is deleted at its end have nothing to do with each other", late, measured(service(target.NodePort), failure(refused, [3]float64{0, 99.9, 250})), 0},
		{"a node port that fails from the deletion on until long after it is broken", gone,
			measured(service(target.NodePort), failure(timeout, [3]float64{50, 99, 120})), 0},
		{"a node port that fails altogether for a moment is not explained by one of four pods", gone,
			measured(service(target.NodePort), failure(refused, [3]float64{50, 60, 100})), 0},
		{"many kinds of failure are weighed together", gone,
			measured(service(target.NodePort), failure(refused, [3]float64{50, 60, 35}),
				failure(timeout, [3]float64{50, 60, 35})), 0},
		{"a node port that leads to its own node's pod alone fails altogether when that is deleted", gone,
			measured(local, failure(refused, [3]float64{50, 60, 100})), 100},
		{"a load balancer may have led all requests of this agent to the deleted pod", gone,
			measured(service(target.LoadBalancer), failure(timeout, [3]float64{50, 55, 50})), 50},
		{"an Ingress says 502 for a moment", gone,
			withStatus(measured(service(target.Ingress), failure(probe.BadStatus, [3]float64{50, 55, 50})), 502, 50),
			50},
		{"an Ingress that says 404 is not looking for a pod", gone,
			withStatus(measured(service(target.Ingress), failure(probe.BadStatus, [3]float64{50, 55, 50})), 404, 50),
			0},
		{"a Service does not answer 502 itself", gone,
			withStatus(measured(service(target.ClusterIP), failure(probe.BadStatus, [3]float64{50, 52, 5})), 502, 5),
			0},
		{"a certificate that cannot be verified has nothing to do with a pod", gone,
			measured(service(target.Ingress), failure(probe.TLSFailed, [3]float64{50, 52, 5})), 0},
		{"a Service fails for a moment while an agent restarts", restart,
			measured(service(target.ClusterIP), failure(refused, [3]float64{50, 53, 8})), 8},
		{"a Service that fails before the change is broken", gone,
			measured(service(target.ClusterIP), failure(refused, [3]float64{10, 12, 6})), 0},
		{"a Service of other pods has nothing to do with it", gone,
			measured(target.Target{ID: "other", Kind: target.ClusterIP}, failure(refused, [3]float64{50, 52, 6})), 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kept := c.path
			c.path.Persistent = &kept
			round := report.Round{Churn: []report.Change{c.change},
				Agents: []report.AgentReport{{Pod: "a", Finished: true, Started: at(0), Ended: at(101),
					Paths: []report.Path{c.path}}},
				Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d"}},
					{Targets: []string{"local"}, Pods: []string{"b"}}}}
			p := churn.Excuse(round, nil).Agents[0].Paths[0]
			if p.Excused() != c.want || p.Persistent.Excused() != c.want {
				t.Errorf("%d counted and %d kept requests are void, want %d", p.Excused(), p.Persistent.Excused(),
					c.want)
			}
			if round.Agents[0].Paths[0].Excused() != 0 {
				t.Error("the round that was given is changed")
			}
			rest := p.WithoutExcused()
			failed := uint64(0)
			for _, f := range rest.Failures {
				failed += f.Count
			}
			if rest.Scheduled != rest.Sent+rest.Missed || rest.Sent != rest.OK+failed || rest.OK != p.OK ||
				rest.Sent != p.Sent-c.want {
				t.Errorf("without void requests %+v", rest)
			}
		})
	}
}

func TestOnlyPodsThatChangedAtTheTimeExplainFailures(t *testing.T) {
	service := target.Target{ID: "service", Kind: target.ClusterIP}
	deleted := func(pod string, second float64) report.Change {
		return report.Change{Pod: pod, Node: "n" + pod, Kind: report.Deleted, WindowStart: at(second),
			WindowEnd: at(second)}
	}
	// Of 100 requests in ten seconds, one of four pods explains 25 give or take 13, two of them 50 give or take 15.
	path := measured(service, failure(probe.Refused, [3]float64{50, 60, 55}))
	cases := []struct {
		name    string
		changes []report.Change
		want    uint64
	}{
		{"one of four pods is too little", []report.Change{deleted("b", 50)}, 0},
		{"two of four pods are enough", []report.Change{deleted("b", 49), deleted("c", 50)}, 55},
		{"a second one that is deleted before explains nothing", []report.Change{deleted("c", 10), deleted("b", 50)},
			0},
		{"a second one that is deleted later explains nothing", []report.Change{deleted("b", 50), deleted("c", 90)}, 0},
		{"one that is restarted twice is one",
			[]report.Change{{Pod: "b", Kind: report.Restarted, WindowStart: at(49), WindowEnd: at(50)},
				{Pod: "b", Kind: report.Restarted, WindowStart: at(51), WindowEnd: at(52)}}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			round := report.Round{Churn: c.changes,
				Agents:   []report.AgentReport{{Pod: "a", Finished: true, Started: at(0), Paths: []report.Path{path}}},
				Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d"}}}}
			if got := churn.Excuse(round, nil).Agents[0].Paths[0].Excused(); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

func TestTimesOfAnAgentAreThoseOfTheControllersClock(t *testing.T) {
	endpoint := target.Target{ID: "AgentPodV4IP_b", Kind: target.Endpoint, Pod: "b", Node: "nb"}
	gone := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(50), WindowEnd: at(52)}
	cases := []struct {
		name             string
		earliest, latest time.Time
		ahead            time.Duration
		want             uint64
	}{
		{"an agent's clock is not asked for where it is known when the agent started", at(0), at(0.1), time.Hour, 490},
		{"a start that was acknowledged late may have been long before, and excuses nothing that may have been " +
			"before the change", at(-20), at(0.1), 0, 0},
		{"an agent of which it is not known when it started is believed", time.Time{}, time.Time{}, 0, 490},
		{"an agent whose clock is behind and of which nothing else is known excuses nothing", time.Time{}, time.Time{},
			-time.Hour, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := measured(endpoint, failure(probe.Timeout, [3]float64{50, 99, 490}))
			p.Started, p.Ended = p.Started.Add(c.ahead), p.Ended.Add(c.ahead)
			round := report.Round{Churn: []report.Change{gone},
				Agents: []report.AgentReport{{Pod: "a", Finished: true, Started: p.Started, Ended: p.Ended,
					Earliest: c.earliest, Latest: c.latest,
					Paths: []report.Path{p}}}}
			if got := churn.Excuse(round, nil).Agents[0].Paths[0].Excused(); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}
