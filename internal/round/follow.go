package round

import (
	"context"
	"slices"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// followAgents is how many agents are asked for follow-up probes at most, followProbes for how many each.
	followAgents = 10
	followProbes = 20
	// followWithin bounds all follow-up probes.
	followWithin = 5 * time.Second
	// followNodes is how many nodes are looked at more closely, followPods how many pods behind a Service are asked
	// directly because they answered nobody.
	followNodes = 16
	followPods  = 200
	// Follow-up probes are chosen by components up to followFailed probes that failed, and followPartly that failed in
	// part. Where far more paths are broken than a few nodes have, or nearly all paths lose a part, the search for
	// components takes seconds.
	followFailed = 3000
	followPartly = 300
)

// followCounts is how often each follow-up probe is sent in each pass: a fault that is seen by follow-up probes alone
// has to last as well.
func followCounts() []int { return []int{1, 2} }

// followCount is how often each follow-up probe is sent.
func followCount() (sum int) {
	for _, n := range followCounts() {
		sum += n
	}
	return sum
}

// follow sends the probes that tell most about what the failures so far mean, at the end of the round.
func (c *climb) follow(ctx context.Context) {
	if c == nil || len(c.passes) == 0 {
		return
	}
	chosen := c.chosen()
	if len(chosen) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	c.ask(bounded, chosen)
}

// chosen decides which probes to send. Probes that are in no plan become further probes of their senders.
func (c *climb) chosen() []place {
	seen, at := c.seen()
	failed := func(o ladder.Observation) bool { return o.Failed() > 0 }
	if !slices.ContainsFunc(seen, failed) {
		return nil
	}
	cluster := diagnose.ClusterOf(c.snapshot)
	in := infer.Input{Zones: cluster.Zones, Pods: cluster.Nodes, Observations: seen}
	faults := suspected(in)
	look := ladder.Look{Nodes: infer.Places(in, faults, followNodes)}
	look.Askers, look.Pods = infer.Unheard(in, faults, followPods)
	look.Askers = look.Askers[:min(len(look.Askers), followAgents)]
	c.extend(ladder.Further(c.snapshot, c.options, look))

	index := make(map[place]int, len(at))
	for i, p := range at {
		index[p] = i
	}
	var places []place
	var possible []infer.Possible
	for i, s := range c.senders {
		for k := range s.Probes {
			p := infer.Possible{Of: &s.Probes[k].Of, Seen: -1, Agent: i}
			if n, ok := index[place{i, k}]; ok {
				p.Seen = n
			}
			if worth(p, seen, look.Nodes) {
				places, possible = append(places, place{i, k}), append(possible, p)
			}
		}
	}
	picked := infer.Ask(in, faults, possible, infer.Bounds{Agents: followAgents, Probes: followProbes,
		Times: followCount()})
	chosen := make([]place, 0, len(picked))
	for _, i := range picked {
		chosen = append(chosen, places[i])
	}
	return chosen
}

// suspected returns the faults that are found so far; none where more than followFailed probes failed, or more than
// followPartly in part.
func suspected(in infer.Input) []infer.Fault {
	failed, partly := 0, 0
	for i := range in.Observations {
		o := &in.Observations[i]
		if o.Failed() == 0 {
			continue
		}
		failed++
		if o.Answered > 0 {
			partly++
		}
	}
	if failed > followFailed || partly > followPartly {
		return nil
	}
	return infer.Find(in)
}

// worth reports whether a probe may be sent again, or for the first time: of the plan what failed, and what concerns
// the nodes that are looked at, unless its agent gave no answer.
func worth(p infer.Possible, seen []ladder.Observation, nodes []string) bool {
	switch {
	case p.Of.FollowUp:
		return true
	case p.Seen < 0:
		return false
	case p.Of.Large && seen[p.Seen].FailedPasses > 1:
		// It lasts, and the agent would search for the largest packet again, for seconds.
		return false
	}
	return seen[p.Seen].Failed() > 0 || slices.Contains(nodes, p.Of.From) || slices.Contains(nodes, p.Of.To) ||
		slices.Contains(nodes, p.Of.At)
}

// probeKey tells probes of one sender apart.
type probeKey struct {
	rung ladder.Rung
	ladder.Spec
}

func keyOf(p ladder.Probe) probeKey {
	key := probeKey{p.Of.Rung, p.Spec}
	key.Count = 0
	return key
}

// extend adds probes that are in no plan to the senders.
func (c *climb) extend(further []ladder.Sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := make(map[string]int, len(c.senders))
	for i, s := range c.senders {
		index[s.Agent.Pod] = i
	}
	known := map[int]map[probeKey]bool{}
	for _, s := range further {
		i, ok := index[s.Agent.Pod]
		if !ok {
			i = len(c.senders)
			index[s.Agent.Pod] = i
			c.senders = append(c.senders, ladder.Sender{Agent: s.Agent})
		}
		if known[i] == nil {
			known[i] = map[probeKey]bool{}
			for _, p := range c.senders[i].Probes {
				known[i][keyOf(p)] = true
			}
		}
		for _, p := range s.Probes {
			if key := keyOf(p); !known[i][key] {
				known[i][key] = true
				p.Of.FollowUp = true
				c.senders[i].Probes = append(c.senders[i].Probes, p)
			}
		}
	}
}

// ask has the senders send the probes at these places, and notes the results as further passes.
func (c *climb) ask(ctx context.Context, chosen []place) {
	probes := map[int][]int{}
	for _, p := range chosen {
		probes[p.sender] = append(probes[p.sender], p.probe)
	}
	passes := make([][][]ladder.Result, len(followCounts()))
	for i := range passes {
		passes[i] = make([][]ladder.Result, len(c.senders))
	}
	var all sync.WaitGroup
	for i, of := range probes {
		all.Go(func() {
			if !c.acquire(ctx) {
				return
			}
			defer func() { <-c.slots }()
			for pass, count := range followCounts() {
				got := c.once(ctx, c.senders[i], of, count)
				if got == nil {
					return
				}
				passes[pass][i] = got
				// Where a full-size packet failed the agent searched for the largest one, for seconds.
				of = slices.DeleteFunc(slices.Clone(of), func(k int) bool {
					return c.senders[i].Probes[k].Of.Large && got[k].Failed() > 0
				})
			}
		})
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes = append(c.passes, passes...)
}

// once has one sender send some of its probes, and returns the results where the probes stand in the plan; nil if
// nothing is known.
func (c *climb) once(ctx context.Context, s ladder.Sender, probes []int, count int) []ladder.Result {
	specs := make([]ladder.Spec, 0, len(probes))
	for _, k := range probes {
		spec := s.Probes[k].Spec
		spec.Count = count
		specs = append(specs, spec)
	}
	got, err := c.prober.Probe(ctx, s.Agent, specs)
	if err != nil || len(got) != len(specs) {
		return nil
	}
	results := make([]ladder.Result, len(s.Probes))
	for n, k := range probes {
		results[k] = got[n]
	}
	return results
}

// around is what the ladder was planned by.
type around struct {
	snapshot topology.Snapshot
	options  ladder.Options
}
