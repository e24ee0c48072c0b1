package oracle

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// faultKinds returns the kinds of faults that fit the scenario's targets.
func faultKinds(s *Scenario) []FaultKind {
	kinds := []FaultKind{DeadPod, HungPod, DeadNode, LostReport, AgentAbsent, WrongStatus, SlowPod, PolicyRefuses}
	if len(s.Nodes) > 1 {
		kinds = append(kinds, LossyLink, LossyLink, Partition, Partition)
	}
	for _, k := range s.Kinds {
		switch k {
		case target.ClusterIP:
			kinds = append(kinds, BrokenService, BrokenService, StaleBackend, SilentBackend)
		case target.NodePort:
			kinds = append(kinds, BlockedNodePort, BlockedNodePort, BrokenService, StaleBackend, SharedAddress)
		case target.LoadBalancer:
			kinds = append(kinds, BalancerDown)
		case target.Ingress:
			kinds = append(kinds, IngressDown)
		case target.Endpoint, target.SecondInterface:
			kinds = append(kinds, WrongPeer)
		}
	}
	if s.Load.Connection != mesh.NewConnection {
		kinds = append(kinds, IdleReset)
	}
	return kinds
}

// fault draws one fault.
func (d dice) fault(s *Scenario) {
	f := Fault{Kind: pick(d, faultKinds(s)...), Node: d.IntN(len(s.Nodes)), Peer: nobody, Rate: 1, To: forever,
		How: pick(d, ByTimeout, ByRefusal, ByUnreachable)}
	if d.chance(0.7) {
		f.From = d.between(0, s.Load.Duration*8/10)
	} else {
		f.From = -time.Minute
	}
	if d.chance(0.4) {
		f.To = max(f.From, 0) + d.between(s.Load.Duration/20, s.Load.Duration/2)
	}
	if !s.Nodes[f.Node].hasAgent() || s.Nodes[f.Node].AgentOn > 0 {
		return
	}
	d.completeFault(s, &f)
	if f.Kind != "" {
		s.Faults = append(s.Faults, f)
	}
}

// completeFault fills in what the kind of the fault needs. It clears the kind if no such fault is possible.
func (d dice) completeFault(s *Scenario, f *Fault) {
	other := func() int { return (f.Node + 1 + d.IntN(max(len(s.Nodes)-1, 1))) % len(s.Nodes) }
	switch f.Kind {
	case DeadPod:
		f.Delay = d.between(5*time.Second, 30*time.Second)
		f.How = pick(d, ByTimeout, ByRefusal)
	case HungPod:
		f.Delay, f.How = d.between(5*time.Second, 30*time.Second), BySilence
	case DeadNode:
		if d.isTouched(s, f.Node) {
			f.Kind = ""
			return
		}
		f.From, f.To, f.How = max(f.From, 500*time.Millisecond), forever, ByTimeout
		// Some dead nodes were cordoned long before, which makes them no less dead.
		s.Nodes[f.Node].Cordoned = s.Nodes[f.Node].Cordoned || d.chance(0.3)
	case BlockedNodePort, BrokenService:
		f.Rate = pick(d, 1, 1, 0.5, 0.1)
		if d.chance(0.3) {
			f.Peer = d.IntN(len(s.Nodes))
		}
	case LossyLink:
		f.Peer, f.Rate, f.How = other(), pick(d, 0.02, 0.1, 0.3, 0.7), pick(d, ByTimeout, BySilence)
	case Partition:
		f.Peer, f.How = other(), pick(d, ByTimeout, ByUnreachable)
	case WrongStatus, PolicyRefuses:
		f.Rate = pick(d, 1, 1, 0.2, 0.05)
		if f.Kind == PolicyRefuses {
			f.How = pick(d, ByTimeout, ByUnreachable)
		}
	case SlowPod:
		f.Delay = pick(d, 150*time.Millisecond, 700*time.Millisecond)
	case WrongPeer:
		if f.Peer = other(); f.Peer == f.Node || !s.Nodes[f.Peer].hasAgent() {
			f.Kind = ""
		}
	case IdleReset:
		f.Node, f.Rate = pick(d, nobody, f.Node), pick(d, 1, 1, 0.5)
	case BalancerDown, IngressDown:
		f.Node, f.Rate = pick(d, nobody, nobody, f.Node), pick(d, 1, 1, 0.3)
	case LostReport:
		f.From, f.To = max(f.From, time.Second), forever
	case SharedAddress:
		if f.Node == 0 {
			f.Kind = ""
			return
		}
		same := d.IntN(f.Node)
		if s.Nodes[same].AgentOn > 0 {
			f.Kind = ""
			return
		}
		s.Nodes[f.Node].SameAddressAs = same + 1
	case AgentAbsent:
		if d.isTouched(s, f.Node) {
			f.Kind = ""
			return
		}
		s.Nodes[f.Node].NoAgentWhy = "no pod of DaemonSet agents is on the node"
	case StaleBackend, SilentBackend:
	default:
	}
}

// removable reports whether the node can be taken away, with another left.
func (d dice) removable(s *Scenario, node int) bool {
	left := 0
	for i, n := range s.Nodes {
		gone := slices.ContainsFunc(s.Changes, func(c Change) bool { return c.Kind == Remove && c.Node == i })
		if n.AgentOn == 0 && i != node && !gone {
			left++
		}
	}
	return s.Nodes[node].AgentOn == 0 && left > 0
}

// isTouched reports whether anything is done to the node or to a pod on it. Nobody can distinguish the death of such a
// node from its planned end.
func (d dice) isTouched(s *Scenario, node int) bool {
	return slices.ContainsFunc(s.Changes,
		func(c Change) bool { return c.Node == node || s.Nodes[c.Node].AgentOn == node+1 })
}

// changes draws what is done to agents during the round.
func (d dice) changes(s *Scenario) {
	switch d.IntN(8) {
	case 0, 1:
		d.addChange(s, Delete, d.IntN(len(s.Nodes)), d.between(time.Second, s.Load.Duration))
	case 2:
		d.addChange(s, Restart, d.IntN(len(s.Nodes)), d.between(time.Second, s.Load.Duration))
	case 3:
		d.rollingChanges(s, Restart)
	case 4:
		d.rollingChanges(s, Delete)
	case 5:
		d.addChange(s, pick(d, Drain, Remove), d.IntN(len(s.Nodes)), d.between(time.Second, s.Load.Duration))
	case 6:
		d.addChange(s, Cordon, d.IntN(len(s.Nodes)), d.between(time.Second, s.Load.Duration))
		d.addChange(s, Delete, d.IntN(len(s.Nodes)), d.between(time.Second, s.Load.Duration))
	case 7:
		for range d.upTo(2, 3) {
			d.addChange(s, pick(d, Delete, Restart, Drain, Remove), d.IntN(len(s.Nodes)),
				d.between(time.Second, s.Load.Duration))
		}
	}
}

// rollingChanges changes all agents one after the other, or most of them.
func (d dice) rollingChanges(s *Scenario, kind ChangeKind) {
	at, pause := d.between(time.Second, s.Load.Duration/3), d.between(0, 3*time.Second)
	for i := range s.Nodes {
		if at >= s.Load.Duration {
			return
		}
		d.addChange(s, kind, i, at)
		if n := len(s.Changes); n > 0 && s.Changes[n-1].Node == i {
			at += s.Changes[n-1].Stops + s.Changes[n-1].Back + pause
		}
	}
}

// addChange adds one change to a pod without a change.
func (d dice) addChange(s *Scenario, kind ChangeKind, node int, at time.Duration) {
	host := func(i int) int { return cmp.Or(s.Nodes[i].AgentOn, i+1) }
	for _, c := range s.Changes {
		// Nothing more is done to the pods of a node that is taken away.
		if c.Node == node || ((c.Kind == Remove || kind == Remove) && host(c.Node) == host(node)) {
			return
		}
	}
	if !s.Nodes[node].hasAgent() || (kind == Remove && !d.removable(s, node)) {
		return
	}
	// An agent that begins late is there when it begins.
	for i, start := range s.Starts {
		met := i == node || (kind == Remove && host(i) == host(node))
		if met && at < 20*time.Second && start.At > time.Second {
			return
		}
	}
	c := Change{Kind: kind, Node: node, At: at, TimeKnown: true, How: pick(d, ByTimeout, ByUnreachable),
		ReportFetched: d.chance(0.3), AddressReused: d.chance(0.2),
		Follows: d.between(50*time.Millisecond, 3*time.Second), Announced: d.between(time.Second, time.Minute)}
	switch kind {
	case Restart:
		c.Back, c.ReportFetched = d.between(300*time.Millisecond, 8*time.Second), false
		if d.chance(0.1) {
			c.Back = d.between(8*time.Second, 40*time.Second)
		}
	case Delete, Drain:
		c.Stops = d.between(0, 2*time.Second)
		if kind == Delete && d.chance(0.2) {
			d.replacedBetweenLooks(s, c)
			return
		}
		if c.TimeKnown = d.chance(0.85); !c.TimeKnown {
			c.Stops, c.ReportFetched = d.between(0, 200*time.Millisecond), false
		}
		if kind == Delete && d.chance(0.7) {
			c.Back = d.between(time.Second, 8*time.Second)
		}
	case Remove:
		c.TimeKnown, c.ReportFetched, c.How, c.Follows = false, false, ByTimeout, d.between(time.Second, 25*time.Second)
		s.Nodes[node].Removing = d.chance(0.2)
	case Cordon:
	}
	s.Changes = append(s.Changes, c)
}

// replacedBetweenLooks adds a deletion whose time no snapshot shows: at the next snapshot the pod is gone, and another
// pod is there.
func (d dice) replacedBetweenLooks(s *Scenario, c Change) {
	last := c.At.Truncate(snapshotEvery)
	c.At, c.Stops = last+d.between(time.Second, 4*time.Second), d.between(0, time.Second)
	c.Back = d.between(time.Second, 3*time.Second)
	s.Changes = append(s.Changes, c)
}
