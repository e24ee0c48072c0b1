package diagnose_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// lottery makes the report of a round in which each request is led to one of the backends by lot, as kube-proxy does.
type lottery struct {
	// pods is how many agents there are, one on each node; requests how many each sends to each target.
	pods, requests int
	// kinds are those of the default when empty: a ClusterIP, and a node port on each node. families are IPv4 when
	// empty.
	kinds    []target.Kind
	families []topology.Family
	// leads is a weight for the pod, for requests of the agent to the target; nil is 1.
	leads func(agent, to int, t target.Target) float64
	// lost reports whether the request gets no answer, reached whether the pod's own address answers; nil is that all
	// do.
	lost, unreached func(agent, to int) bool
	// deals leads to the pods in turn, each place that selects from the first on: the agents ask one after the other,
	// or paced by turns.
	deals, paced bool
	// services leaves out the paths to pods' own addresses.
	services bool
}

func name(i int) string { return fmt.Sprintf("agent-%02d", i) }

func node(i int) string { return fmt.Sprintf("node-%02d", i) }

// targets are the same for all agents.
func (l lottery) targets() []target.Target {
	kinds, families := l.kinds, l.families
	if len(kinds) == 0 {
		kinds = []target.Kind{target.ClusterIP, target.NodePort}
	}
	if len(families) == 0 {
		families = []topology.Family{topology.IPv4}
	}
	var all []target.Target
	for _, family := range families {
		for _, kind := range kinds {
			many := 1
			if kind == target.NodePort {
				many = l.pods
			}
			for i := range many {
				all = append(all, target.Target{ID: fmt.Sprintf("Agent%s%s_%02d", kind, family, i), Kind: kind,
					Family: family,
					Answer: target.Backends})
			}
		}
	}
	return all
}

func (l lottery) round(random *rand.Rand) report.Round {
	var r report.Round
	backends := report.BackendSet{}
	targets := l.targets()
	for _, t := range targets {
		backends.Targets = append(backends.Targets, t.ID)
	}
	turns := map[string]int{}
	for i := range l.pods {
		backends.Pods = append(backends.Pods, name(i))
		r.Expected = append(r.Expected, report.Expected{Pod: name(i), Node: node(i)})
		a := report.AgentReport{Pod: name(i), Node: node(i), Finished: true}
		for _, t := range targets {
			a.Paths = append(a.Paths, l.path(i, t, random, turns))
		}
		for to := range l.pods {
			if l.services {
				break
			}
			for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
				p := report.Path{Target: target.Target{ID: fmt.Sprintf("AgentPod%s_%02d", family, to),
					Kind:   target.Endpoint,
					Family: family,
					Answer: target.OnePod, Pod: name(to)}, Scheduled: 10, Sent: 10, OK: 10}
				if l.unreached != nil && l.unreached(i, to) {
					p.OK, p.Failures = 0, []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
				}
				a.Paths = append(a.Paths, p)
			}
		}
		r.Agents = append(r.Agents, a)
	}
	r.Backends = []report.BackendSet{backends}
	return r
}

func (l lottery) path(agent int, t target.Target, random *rand.Rand, turns map[string]int) report.Path {
	p := report.Path{Target: t, Peers: map[string]uint64{}, Scheduled: uint64(l.requests), Sent: uint64(l.requests)}
	place := t.ID
	if t.Kind == target.ClusterIP {
		place += name(agent)
	}
	var weights []float64
	if l.leads != nil {
		for to := range l.pods {
			weights = append(weights, l.leads(agent, to, t))
		}
	}
	met := make([]uint64, l.pods)
	for i := range l.requests {
		var to int
		switch {
		case l.deals && l.paced && t.Kind == target.NodePort:
			if _, begun := turns[place]; !begun {
				turns[place] = random.IntN(l.pods)
			}
			to = (i*l.pods + agent + turns[place]) % l.pods
		case l.deals:
			to = turns[place] % l.pods
			turns[place]++
		case weights == nil:
			to = random.IntN(l.pods)
		default:
			to = draw(weights, random)
		}
		if l.lost != nil && l.lost(agent, to) {
			continue
		}
		met[to]++
		p.OK++
	}
	for to, n := range met {
		if n > 0 {
			p.Peers[name(to)] = n
		}
	}
	if failed := p.Sent - p.OK; failed > 0 {
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: failed}}
	}
	return p
}

func draw(weights []float64, random *rand.Rand) int {
	var sum float64
	for _, w := range weights {
		sum += w
	}
	at := random.Float64() * sum
	for i, w := range weights {
		if at < w {
			return i
		}
		at -= w
	}
	return slices.IndexFunc(weights, func(w float64) bool { return w > 0 })
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// patterns are the findings of rules that need nothing but the figures: no path was judged to have failed.
func patterns(round report.Round) []diagnose.Finding {
	return diagnose.Findings(round, verdict.Verdict{})
}
