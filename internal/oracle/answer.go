package oracle

import (
	"slices"

	"kdoctor.io/kdoctor/internal/target"
)

// mayAnswer are the pods of the plan that may answer on the route.
func (w *world) mayAnswer(r route) []int {
	if r.pod != nobody {
		return []int{r.pod}
	}
	only := w.only(r)
	return slices.DeleteFunc(w.ready(), func(i int) bool { return only != nobody && only != w.pods[i].node })
}

// ready are the pods of the plan.
func (w *world) ready() []int {
	var all []int
	for i := range w.s.Nodes {
		if w.pods[i].listed(0) {
			all = append(all, i)
		}
	}
	return all
}

// only is the node whose pods alone the route leads to, by the traffic policies; nobody where those of all nodes may
// answer.
func (w *world) only(r route) int {
	switch {
	case r.kind == target.ClusterIP && w.s.Service.InternalLocal:
		return r.from
	case r.kind == target.NodePort && w.s.Service.ExternalLocal && !w.insider(r):
		return r.node
	}
	return nobody
}

// insider reports whether the proxy of the node whose port is asked takes the agent for a client inside the cluster.
func (w *world) insider(r route) bool {
	switch w.s.Service.Insiders {
	case Everywhere:
		return true
	case OnOwnNode:
		return r.node == r.from
	case Nowhere:
	}
	return false
}

// mayPin reports whether, for all that anybody can know, all of one client's requests may be led to one pod.
func (w *world) mayPin(r route) bool {
	if r.pod != nobody {
		return false
	}
	return w.proxied(r) || w.s.Service.Spread != Even
}

// pinned reports whether all of one client's requests are led to some of the pods.
func (w *world) pinned(r route) bool {
	switch {
	case r.kind == target.Ingress:
		return w.s.Ingress.Pins
	case w.proxied(r):
		return w.s.Balancer.Pins
	}
	return w.s.Service.Spread != Even
}

// led returns the pods to which requests are led while all of them are there, and whether each client's go to one
// alone.
func (w *world) led(r route) (pods []int, pinned bool) {
	spread := w.s.Service.Spread
	if w.proxied(r) || (spread != SameZone && spread != SameNode) {
		return r.may, w.pinned(r)
	}
	at := r.from
	if r.node != nobody {
		at = r.node
	}
	near := slices.DeleteFunc(slices.Clone(r.may), func(i int) bool {
		on := w.pods[i].node
		return (spread == SameNode && on != at) || (spread == SameZone && w.s.Nodes[on].Zone != w.s.Nodes[at].Zone)
	})
	if len(near) == 0 {
		return r.may, false
	}
	return near, false
}

// proxied reports whether requests leave the cluster for a proxy.
func (w *world) proxied(r route) bool {
	return r.kind == target.Ingress || (r.kind == target.LoadBalancer && !w.s.Balancer.ShortCircuit)
}
