package oracle

import (
	"slices"

	"kdoctor.io/kdoctor/internal/target"
)

// mayAnswer returns the pods of the plan that may answer on the route.
func (w *world) mayAnswer(r route) []int {
	if r.pod != nobody {
		return []int{r.pod}
	}
	only := w.onlyNode(r)
	return slices.DeleteFunc(w.plannedPods(), func(i int) bool { return only != nobody && only != w.pods[i].node })
}

// plannedPods returns the pods of the plan.
func (w *world) plannedPods() []int {
	var all []int
	for i := range w.s.Nodes {
		if w.pods[i].listed(0) {
			all = append(all, i)
		}
	}
	return all
}

// onlyNode returns the node whose pods alone the route leads to, by the traffic policies; nobody if pods of all nodes
// may answer.
func (w *world) onlyNode(r route) int {
	switch {
	case r.kind == target.ClusterIP && w.s.Service.InternalLocal:
		return r.from
	case r.kind == target.NodePort && w.s.Service.ExternalLocal && !w.isInsider(r):
		return r.node
	}
	return nobody
}

// isInsider reports whether the proxy of the node whose port is asked takes the agent for a client inside the cluster.
func (w *world) isInsider(r route) bool {
	switch w.s.Service.Insiders {
	case Everywhere:
		return true
	case OnOwnNode:
		return r.node == r.from
	case Nowhere:
	}
	return false
}

// mayStick reports whether, as far as anybody can know, all of one client's requests may be led to one pod.
func (w *world) mayStick(r route) bool {
	if r.pod != nobody {
		return false
	}
	return w.proxied(r) || w.s.Service.Spread != Even
}

// sticks reports whether all of one client's requests are led to some of the pods.
func (w *world) sticks(r route) bool {
	switch {
	case r.kind == target.Ingress:
		return w.s.Ingress.Sticky
	case w.proxied(r):
		return w.s.Balancer.Sticky
	}
	return w.s.Service.Spread != Even
}

// routedPods returns the pods to which requests are led while all of them are there. sticky reports whether all
// requests of a client go to one of them.
func (w *world) routedPods(r route) (pods []int, sticky bool) {
	spread := w.s.Service.Spread
	if w.proxied(r) || (spread != SameZone && spread != SameNode) {
		return r.answerers, w.sticks(r)
	}
	at := r.from
	if r.node != nobody {
		at = r.node
	}
	near := slices.DeleteFunc(slices.Clone(r.answerers), func(i int) bool {
		on := w.pods[i].node
		return (spread == SameNode && on != at) || (spread == SameZone && w.s.Nodes[on].Zone != w.s.Nodes[at].Zone)
	})
	if len(near) == 0 {
		return r.answerers, false
	}
	return near, false
}

// proxied reports whether requests leave the cluster for a proxy.
func (w *world) proxied(r route) bool {
	return r.kind == target.Ingress || (r.kind == target.LoadBalancer && !w.s.Balancer.ShortCircuit)
}
