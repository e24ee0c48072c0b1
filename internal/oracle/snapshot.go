package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	namespace    = "kdoctor"
	httpPort     = 8080
	servicePort  = 80
	nodePortFour = 30080
	nodePortSix  = 30081
	// deletedListed is how long after it stopped a deleted pod is still in the API.
	deletedListed = 2 * time.Second
)

// epoch is when rounds start, by the controller's clock.
func epoch() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 123_000_000, time.UTC) }

// snapshot returns the cluster as the product's inventory would read it at the moment.
func (w *world) snapshot(t time.Duration) topology.Snapshot {
	s := topology.Snapshot{Taken: epoch().Add(t), Services: w.services(), Ingresses: w.ingresses()}
	for i := range w.s.Nodes {
		if n, ok := w.nodeAt(i, t); ok && w.s.Nodes[i].AgentOn == 0 {
			s.Nodes = append(s.Nodes, n)
		}
		if w.s.Nodes[i].OutsideWhy != "" {
			continue
		}
		if a, ok, leaving := w.agentAt(i, t); ok && leaving {
			s.Leaving = append(s.Leaving, a)
		} else if ok {
			s.Agents = append(s.Agents, a)
		}
		for p := len(w.s.Nodes); p < len(w.pods); p++ {
			if w.pods[p].node == i && w.s.Nodes[i].AgentOn == 0 && t >= w.pods[p].readyAt-time.Second {
				s.Agents = append(s.Agents, w.agent(p))
			}
		}
	}
	return s
}

// agent returns the part of a pod that never changes.
func (w *world) agent(p int) topology.Agent {
	a := topology.Agent{Pod: w.pods[p].name, Namespace: namespace, UID: "uid-" + w.pods[p].name,
		Node:     nodeName(w.pods[p].node),
		HTTPPort: httpPort, ControlPort: httpPort + 1, Started: epoch().Add(-time.Hour).Truncate(time.Second)}
	for _, f := range w.s.Families {
		a.Addresses = append(a.Addresses, podAddress(f, p))
	}
	if slices.Contains(w.s.Kinds, target.SecondInterface) {
		second := topology.Interface{Network: "lan", Name: "net1"}
		for _, f := range w.s.Families {
			second.Addresses = append(second.Addresses, secondAddress(f, p))
		}
		a.Interfaces = []topology.Interface{second}
	}
	return a
}

// agentAt returns the pod that started on the node, unless it is gone. leaving reports that another pod has taken over
// its work.
func (w *world) agentAt(i int, t time.Duration) (a topology.Agent, ok, leaving bool) {
	a = w.agent(i)
	a.NotReady = w.s.Nodes[i].NoAgentWhy
	if a.NotReady != "" {
		a.Pod = a.NotReady[:min(len(a.NotReady), 3)] + "-" + a.Pod
		return a, true, false
	}
	for number, c := range w.s.Changes {
		if t < c.At || (c.Node != i && (c.Kind != Remove || c.Node != w.pods[i].node)) {
			continue
		}
		switch c.Kind {
		case Delete, Drain:
			if !c.TimeKnown || t >= c.At+c.Stops+deletedListed {
				return a, false, false
			}
			a.Deleted, a.NotReady = epoch().Add(c.At).Truncate(time.Second), "pod is being deleted"
			_, leaving = w.replacement(number)
		case Remove:
			if t >= c.At+c.Follows {
				return a, false, false
			}
		case Restart:
			w.restarted(&a, i, c, t)
		case Cordon:
		}
	}
	if a.NotReady == "" && !w.pods[i].listed(t) {
		a.NotReady = "pod is not ready"
	}
	return a, true, leaving
}

// restarted fills in what the kubelet says of the restart, by its own clock, in whole seconds.
func (w *world) restarted(a *topology.Agent, i int, c Change, t time.Duration) {
	stop := c.At + c.Stops
	if t < stop {
		return
	}
	clock := w.s.Starts[i].Clock
	a.Ended, a.EndReason = epoch().Add(stop+clock).Truncate(time.Second), "Error"
	if t < stop+c.Back {
		a.Started, a.NotReady = time.Time{}, "container is waiting to start"
		return
	}
	a.Restarts++
	a.Started, a.NotReady = epoch().Add(stop+c.Back+clock).Truncate(time.Second), ""
}

// nodeAt returns the node, unless it was taken out of the cluster.
func (w *world) nodeAt(i int, t time.Duration) (topology.Node, bool) {
	n := topology.Node{Name: nodeName(i), Zone: fmt.Sprintf("zone-%d", w.s.Nodes[i].Zone),
		Outside:  w.s.Nodes[i].OutsideWhy,
		Cordoned: w.s.Nodes[i].Cordoned}
	for _, f := range w.s.Families {
		n.Addresses = append(n.Addresses, nodeAddress(f, w.addressOwner(i)))
	}
	if w.s.Nodes[i].Removing {
		n.Cordoned, n.Removing = true, "the cluster autoscaler removes it"
	}
	for _, c := range w.s.Changes {
		if w.pods[c.Node].node != i || t < c.At-c.Announced {
			continue
		}
		switch c.Kind {
		case Cordon, Drain:
			n.Cordoned = true
		case Remove:
			n.Cordoned, n.Removing = true, "the cluster autoscaler removes it"
			if t >= c.At+c.Follows {
				return n, false
			}
		case Delete, Restart:
		}
	}
	for _, down := range w.downs[i] {
		n.NotReady = n.NotReady || t >= down.from+lease && t < down.to
	}
	return n, true
}

// addressOwner returns the number of the node whose address the node has.
func (w *world) addressOwner(i int) int {
	if same := w.s.Nodes[i].SameAddressAs; same > 0 {
		return same - 1
	}
	return i
}

func (w *world) services() []topology.Service {
	var all []topology.Service
	for _, f := range w.s.Families {
		service := topology.Service{Namespace: namespace, Name: "agents-" + target.Short(f),
			ClusterIPs: []netip.Addr{clusterAddress(f)}, Port: servicePort,
			NodePort: nodePortFour, InternalLocal: w.s.Service.InternalLocal, ExternalLocal: w.s.Service.ExternalLocal,
			Uneven: w.uneven()}
		if f == topology.IPv6 {
			service.NodePort = nodePortSix
		}
		if slices.Contains(w.s.Kinds, target.LoadBalancer) {
			service.LoadBalancer = true
			service.Ingress = []topology.Entry{{Address: balancerAddress(f), Proxy: !w.s.Balancer.ShortCircuit}}
		}
		all = append(all, service)
	}
	return all
}

// uneven returns what the Service's spec says about its spread.
func (w *world) uneven() string {
	if w.s.Service.SpreadIsFault {
		return ""
	}
	switch w.s.Service.Spread {
	case SameZone:
		return "trafficDistribution is PreferSameZone"
	case SameNode:
		return "trafficDistribution is PreferSameNode"
	case Sticky:
		return "sessionAffinity is ClientIP"
	case Even, OneOnly:
	}
	return ""
}

func (w *world) ingresses() []topology.Ingress {
	if !slices.Contains(w.s.Kinds, target.Ingress) {
		return nil
	}
	in := topology.Ingress{Namespace: namespace, Name: "agents", Rules: []topology.Rule{{Path: "/kdoctoragent"}}}
	for _, f := range w.s.Families {
		in.Entries = append(in.Entries, topology.Entry{Address: ingressAddress(f)})
	}
	return []topology.Ingress{in}
}
