package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Cluster is what localisation needs to know of a cluster beyond a round's report.
type Cluster struct {
	// Zones has the zone of each node.
	Zones map[string]string
	// Nodes has the node of each pod that may answer.
	Nodes map[string]string
	// Agents has the agent's pod on each node.
	Agents map[string]string
	// Hosts is on how many nodes there is an agent in the host network.
	Hosts int

	// snapshot is where all of it is from.
	snapshot topology.Snapshot
}

// ClusterOf returns what localisation needs of a snapshot.
func ClusterOf(s topology.Snapshot) Cluster {
	c := Cluster{Zones: map[string]string{}, Nodes: map[string]string{}, Agents: map[string]string{},
		Hosts: len(s.Hosts), snapshot: s}
	for _, a := range s.Agents {
		c.Agents[a.Node] = a.Pod
	}
	for _, n := range s.Nodes {
		c.Zones[n.Name] = n.Zone
	}
	for _, a := range slices.Concat(s.Agents, s.Hosts) {
		c.Nodes[a.Pod] = a.Node
	}
	for _, d := range s.DNS {
		c.Nodes[d.Pod] = d.Node
	}
	return c
}

// largeAnswer is the size in bytes from which on an answer does not fit one packet.
const largeAnswer = 1200

// observed returns the counted requests of a round as observations, without what changes excuse, and without paths on
// which the agent itself was the limit.
func observed(round report.Round, judged verdict.Verdict, cluster Cluster) []ladder.Observation {
	results := map[askedTarget]verdict.Result{}
	for _, a := range judged.Agents {
		for _, p := range a.Paths {
			results[askedTarget{a.Pod, p.Target}] = p.Result
		}
	}
	backends := round.BackendSets()
	large := round.Budget.AnswerBytes > largeAnswer
	var all []ladder.Observation
	for _, a := range round.Agents {
		for i := range a.Paths {
			p := a.Paths[i].WithoutExcused()
			result := results[askedTarget{a.Pod, p.Target.ID}]
			if result != verdict.Pass && result != verdict.Fail {
				continue
			}
			o, ok := rungOf(a.Node, &p.Target)
			if !ok {
				continue
			}
			o.Family, o.Method, o.Large, o.Counted = p.Target.Family, ladder.HTTP, large, true
			pods, _ := backends.Pods(a.Pod, p.Target.ID)
			o.Backends = nodesOf(pods, cluster)
			if p.Target.OnlyNode != "" {
				o.Backends = []string{p.Target.OnlyNode}
			}
			o.Counts = countsOf(&p)
			if o.Sent > 0 {
				all = append(all, o)
			}
		}
	}
	return all
}

// rungOf returns the observation that a path is, without counts. ok is false for a path that is no rung of the ladder.
func rungOf(from string, t *target.Target) (o ladder.Observation, ok bool) {
	o.From = from
	switch t.Kind {
	case target.Endpoint:
		o.Rung, o.To = ladder.PodToPod, t.Node
		if t.Node == from {
			o.Rung = ladder.Self
		}
	case target.SecondInterface:
		o.Rung, o.To, o.Service = ladder.SecondInterface, t.Node, t.Interface
		ok = t.Node != from
		return o, ok
	case target.ClusterIP:
		o.Rung, o.Service = ladder.ClusterIP, ladder.Agents
	case target.NodePort:
		// Nothing says what happens at an address that is not the node's own first one.
		o.Rung, o.At, o.Service = ladder.NodePort, t.AtNode, ladder.Agents
		return o, !t.Further && !t.External && t.AtNode != ""
	case target.LoadBalancer:
		o.Rung, o.Service = ladder.LoadBalancer, "load balancer"
		if t.ShortCircuit {
			o.Rung = ladder.ClusterIP
		}
	case target.Ingress:
		o.Rung, o.Service = ladder.Ingress, "Ingress"
	default:
		return o, false
	}
	return o, true
}

func nodesOf(pods []string, cluster Cluster) []string {
	var nodes []string
	for _, pod := range pods {
		if node := cluster.Nodes[pod]; node != "" {
			nodes = append(nodes, node)
		}
	}
	return sorted(nodes)
}

// countsOf returns the counts of a path.
func countsOf(p *report.Path) ladder.Counts {
	c := ladder.Counts{Sent: p.Sent, Answered: p.OK, Peers: p.Peers, Mean: p.Latency.Quantile(0.5)}
	for _, f := range p.Failures {
		failure, ok := failureOf(f)
		if !ok {
			c.Sent -= min(c.Sent, f.Count)
			continue
		}
		if c.Failures == nil {
			c.Failures = map[ladder.Failure]uint64{}
		}
		c.Failures[failure] += f.Count
	}
	return c
}

// failureOf returns how the attempts failed. ok is false for those that say nothing about the network.
func failureOf(f report.Failure) (failure ladder.Failure, ok bool) {
	switch f.Outcome {
	case probe.Timeout:
		if f.Phase <= probe.Connect {
			return ladder.NoAnswer, true
		}
		return ladder.NoReply, true
	case probe.Refused:
		return ladder.Refused, true
	case probe.Reset:
		return ladder.Reset, true
	case probe.Unreachable:
		return ladder.Unreachable, true
	case probe.BadStatus, probe.BadAnswer, probe.TLSFailed:
		return ladder.BadReply, true
	case probe.WrongPeer:
		return ladder.WrongPeer, true
	}
	return "", false
}

// untouched returns the observations without those of agents that were deleted, drained or restarted during the round,
// and without those through Services in front of them: what failed there may be no fault. Of a node that left the
// cluster nothing at all counts.
func untouched(climbed []ladder.Observation, changes []report.Change) []ladder.Observation {
	if len(changes) == 0 {
		return climbed
	}
	changed, left := map[string]bool{}, map[string]bool{}
	for _, c := range changes {
		changed[c.Node] = true
		left[c.Node] = left[c.Node] || c.NodeLeft
	}
	touches := func(node string) bool { return changed[node] }
	return slices.DeleteFunc(slices.Clone(climbed), func(o ladder.Observation) bool {
		return left[o.From] || left[o.To] || left[o.At] || changed[o.From] && !fromHost(o.Rung) ||
			changed[o.To] && o.Rung != ladder.HostToHost || slices.ContainsFunc(o.Backends, touches)
	})
}
