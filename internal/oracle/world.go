package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	forever = time.Duration(1<<63 - 1)
	// longAgo is before the round and everything that matters to it.
	longAgo = -24 * time.Hour
	// lease is how long the cluster needs to notice that a node stopped.
	lease = 40 * time.Second
)

// Culprit is the kind of thing that made a request end as it did.
type Culprit uint8

// The culprits.
const (
	Nobody Culprit = iota
	ByFault
	ByChange
	ByAsker
	ByAnswerer
)

// Cause is why a request ended as it did; Index is the number of the fault or the change in its scenario, or of the
// limit.
type Cause struct {
	Culprit Culprit
	Index   int16
}

// period is a period of time, with from and without to.
type period struct{ from, to time.Duration }

func (p period) has(t time.Duration) bool { return t >= p.from && t < p.to }

// outage is a period in which nobody answers, with how requests end then, and why.
type outage struct {
	period
	how   Ending
	cause Cause
}

// during returns the outage at the moment.
func during(outages []outage, t time.Duration) (outage, bool) {
	for _, o := range outages {
		if o.has(t) {
			return o, true
		}
	}
	return outage{}, false
}

// pod is one pod over the time of the round.
type pod struct {
	node int
	name string
	// readyAt is when the pod became ready. unlisted are the periods after that in which no endpoint slice has the pod.
	readyAt  time.Duration
	unlisted []outage
	outages  []outage
	// absent reports that the pod never takes part.
	absent bool
}

func (p *pod) listed(t time.Duration) bool {
	if p.absent || t < p.readyAt {
		return false
	}
	_, out := during(p.unlisted, t)
	return !out
}

// world is the state of the scenario's cluster, moment by moment.
type world struct {
	s *Scenario
	// pods are the agents, by the number of their node, then replacements.
	pods []pod
	// downs are the periods in which nodes do not run.
	downs [][]outage
	// faults are the numbers of the faults by kind.
	faults map[FaultKind][]int
	// limits are the numbers of the limits of each agent.
	limits [][]int
}

func newWorld(s *Scenario) *world {
	w := &world{s: s, downs: make([][]outage, len(s.Nodes)), faults: map[FaultKind][]int{},
		limits: make([][]int, len(s.Nodes))}
	for i, n := range s.Nodes {
		w.pods = append(w.pods, pod{node: i, name: podName(i), readyAt: longAgo, absent: !n.hasAgent()})
		if n.AgentOn > 0 {
			w.pods[i].node = n.AgentOn - 1
		}
	}
	for i, f := range s.Faults {
		w.faults[f.Kind] = append(w.faults[f.Kind], i)
		w.fault(i, f)
	}
	for i, c := range s.Changes {
		w.change(i, c)
	}
	for i, l := range s.Limits {
		w.limits[l.Node] = append(w.limits[l.Node], i)
	}
	return w
}

func podName(i int) string  { return fmt.Sprintf("agent-%02d", i) }
func nodeName(i int) string { return fmt.Sprintf("node-%02d", i) }

// fault adds the effect of the fault on pods and nodes themselves.
func (w *world) fault(i int, f Fault) {
	cause := Cause{ByFault, int16(i)} // #nosec G115 -- a scenario has few faults
	switch f.Kind {
	case DeadPod, HungPod:
		p := &w.pods[f.Node]
		p.outages = append(p.outages, outage{period{f.From, f.To}, f.How, cause})
		// The readiness probe takes it out after a while.
		p.unlisted = append(p.unlisted, outage{period{f.From + f.Delay, f.To}, f.How, cause})
	case DeadNode:
		w.downs[f.Node] = append(w.downs[f.Node], outage{period{f.From, f.To}, f.How, cause})
		for j := range w.pods {
			if p := &w.pods[j]; p.node == f.Node {
				p.unlisted = append(p.unlisted, outage{period{f.From + lease, f.To}, f.How, cause})
			}
		}
	default:
	}
}

// change adds the effect of the change.
func (w *world) change(i int, c Change) {
	cause := Cause{ByChange, int16(i)} // #nosec G115 -- a scenario has few changes
	p := &w.pods[c.Node]
	stop := c.At + c.Stops
	switch c.Kind {
	case Restart:
		p.outages = append(p.outages, outage{period{stop, stop + c.Back}, ByRefusal, cause})
		if c.Follows < c.Stops+c.Back {
			p.unlisted = append(p.unlisted,
				outage{period{c.At + c.Follows, stop + c.Back + time.Second}, ByRefusal, cause})
		}
	case Delete, Drain:
		// The kernel of the pod refuses until its network is taken away.
		p.outages = append(p.outages, outage{period{stop, stop + time.Second}, ByRefusal, cause},
			outage{period{stop + time.Second, forever}, c.How, cause})
		p.unlisted = append(p.unlisted, outage{period{c.At + c.Follows, forever}, c.How, cause})
		if c.Back > 0 {
			w.pods = append(w.pods, pod{node: p.node, name: fmt.Sprintf("replacement-%02d", i), readyAt: stop + c.Back})
		}
	case Remove:
		w.downs[c.Node] = append(w.downs[c.Node], outage{period{c.At, forever}, c.How, cause})
		for i := range w.pods {
			if p := &w.pods[i]; p.node == c.Node {
				p.unlisted = append(p.unlisted, outage{period{c.At + c.Follows, forever}, c.How, cause})
			}
		}
	case Cordon:
	}
}

// endOf returns when the agent ends for good, and why; forever if it stays.
func (w *world) endOf(number int) (time.Duration, Cause) {
	end, cause := forever, Cause{}
	for i, c := range w.s.Changes {
		at := c.At
		switch c.Kind {
		case Delete, Drain:
			at += c.Stops
		case Remove:
		case Restart:
			if at < w.s.Starts[number].At {
				// The agent had not begun.
				continue
			}
		case Cordon:
			continue
		}
		if met := c.Node == number || (c.Kind == Remove && c.Node == w.pods[number].node); met && at < end {
			end, cause = at, Cause{ByChange, int16(i)} // #nosec G115 -- a scenario has few changes
		}
	}
	for i, f := range w.s.Faults {
		if f.Kind == DeadNode && f.Node == w.pods[number].node && f.From < end {
			end, cause = f.From, Cause{ByFault, int16(i)} // #nosec G115 -- a scenario has few faults
		}
	}
	return end, cause
}

// hasUnplannedAgent reports whether a fault keeps an agent out of the plan that should have one.
func (w *world) hasUnplannedAgent() bool {
	for i, n := range w.s.Nodes {
		if n.hasAgent() && !w.pods[i].listed(0) {
			return true
		}
	}
	return false
}

// hasUnlistingFault reports whether a fault takes pods out of what Services lead to.
func (w *world) hasUnlistingFault() bool {
	for _, kind := range [...]FaultKind{DeadPod, HungPod, DeadNode, SilentBackend} {
		if len(w.faults[kind]) > 0 {
			return true
		}
	}
	return false
}

// replacement returns the pod that replaced the one of the change.
func (w *world) replacement(i int) (int, bool) {
	name := fmt.Sprintf("replacement-%02d", i)
	at := slices.IndexFunc(w.pods, func(p pod) bool { return p.name == name })
	return at, at >= 0
}

// Addresses: pods, nodes and second interfaces of both families, by number.
func podAddress(family topology.Family, i int) netip.Addr    { return address(family, 1, i) }
func nodeAddress(family topology.Family, i int) netip.Addr   { return address(family, 2, i) }
func secondAddress(family topology.Family, i int) netip.Addr { return address(family, 3, i) }
func clusterAddress(family topology.Family) netip.Addr       { return address(family, 4, 1) }
func balancerAddress(family topology.Family) netip.Addr      { return address(family, 5, 1) }
func ingressAddress(family topology.Family) netip.Addr       { return address(family, 6, 1) }

func address(family topology.Family, net byte, i int) netip.Addr {
	low := byte(i + 1) // #nosec G115 -- there are at most 250
	if family == topology.IPv6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: net, 15: low})
	}
	return netip.AddrFrom4([4]byte{10, net, 0, low})
}
