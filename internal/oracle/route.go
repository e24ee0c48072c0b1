package oracle

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// nobody stands for no pod and no node; outsideCluster is where proxies are.
const (
	nobody         = -1
	outsideCluster = -1
)

// route is the simulation's knowledge of one agent's target.
type route struct {
	kind   target.Kind
	family topology.Family
	// asker is the agent that asks, from is the node on which it runs.
	asker, from int
	// pod is the only pod that may answer, node is the node whose port is asked; nobody for other routes.
	pod, node int
	// answerers are the pods of the plan that may answer this agent. possible are the pods that may answer as far as
	// anybody can know, byPolicy the pods that the traffic policy leads to.
	answerers, possible, byPolicy []int
	// mayStick reports that all requests of the agent may be led to any one of the pods.
	mayStick bool
}

// attempt is one request and its result.
type attempt struct {
	// at is when the request started.
	at time.Duration
	// lag and latency are in microseconds.
	lag, latency int32
	outcome      probe.Outcome
	phase        probe.Phase
	status       int16
	// peer is the pod that answered, or nobody. to is the pod that the request was led to.
	peer, to int16
	// missed reports that the request was never made. reused and closed are as in probe.Sample.
	missed, reused, closed bool
	cause                  Cause
}

// routeOf finds out where the target leads, from its address and its kind.
func (w *world) routeOf(asker int, t target.Target) route {
	r := route{kind: t.Kind, family: t.Family, asker: asker, from: w.pods[asker].node, pod: nobody, node: nobody}
	u, err := url.Parse(t.Address)
	if err != nil {
		panic("oracle: " + err.Error())
	}
	host, _ := netip.ParseAddr(u.Hostname())
	for i := range w.s.Nodes {
		switch {
		case t.Kind == target.Endpoint && host == podAddress(t.Family, i), t.Kind == target.SecondInterface &&
			host == secondAddress(t.Family, i):
			r.pod = i
		case t.Kind == target.NodePort && r.node == nobody && host == nodeAddress(t.Family, w.addressOwner(i)):
			r.node = i
		}
	}
	r.answerers = w.mayAnswer(r)
	r.possible = r.answerers
	if r.kind == target.NodePort && w.s.Service.ExternalLocal {
		r.possible = w.plannedPods()
		r.byPolicy = slices.DeleteFunc(w.plannedPods(), func(i int) bool { return w.pods[i].node != r.node })
	}
	r.mayStick = w.mayStick(r)
	return r
}

// path is one agent's target while the round runs.
type path struct {
	w *world
	r route
	// random draws what is left to chance.
	random *rand.Rand
	// stuckTo is the pod to which a Service or a proxy leads all requests of the agent, or nobody.
	stuckTo int
	// timeout is the timeout of one request.
	timeout time.Duration
	// persistent reports that this is the persistent stream, and not the counted requests.
	persistent bool
}

// send makes one request over a new connection or, if over is not nobody, over the open connection to that pod.
func (p *path) send(t time.Duration, over int) attempt {
	a := attempt{at: t, peer: nobody}
	p.follow(&a, t, over)
	p.applyAskerLimits(&a)
	if a.outcome == probe.Timeout {
		a.latency = micros(p.timeout)
	}
	return a
}

func micros(d time.Duration) int32 { return int32(d / time.Microsecond) } // #nosec G115 -- timeouts are seconds

// follow takes the request from hop to hop until something ends it.
func (p *path) follow(a *attempt, t time.Duration, over int) {
	a.latency = 200 + p.random.Int32N(1800)
	asker := p.r.from
	if p.meetsFault(a, PolicyRefuses, asker, asker, t) {
		return
	}
	at := asker
	switch {
	case p.r.pod != nobody:
		p.reachPod(a, asker, p.r.pod, t)
		return
	case p.w.proxied(p.r):
		if p.meetsFault(a, p.proxyFault(), asker, asker, t) {
			return
		}
		at = outsideCluster
	case p.r.kind == target.NodePort:
		if p.toNodePort(a, t); a.outcome != probe.OK {
			return
		}
		at = p.r.node
	}
	chosen := over
	// An HTTP proxy chooses a pod for each request.
	if over == nobody || p.r.kind == target.Ingress {
		if at != outsideCluster && p.meetsFault(a, BrokenService, at, asker, t) {
			return
		}
		if chosen = p.choosePod(a, at, t); a.outcome != probe.OK {
			return
		}
	}
	p.reachPod(a, at, chosen, t)
	p.answerByProxy(a, at)
}

// proxyFault returns the kind of fault that takes the proxy of the path away.
func (p *path) proxyFault() FaultKind {
	if p.r.kind == target.Ingress {
		return IngressDown
	}
	return BalancerDown
}

// meetsFault ends the request if a fault of the kind holds at the node for this asker, and the dice say so.
func (p *path) meetsFault(a *attempt, kind FaultKind, node, asker int, t time.Duration) bool {
	for _, i := range p.w.faults[kind] {
		f := p.w.s.Faults[i]
		if t < f.From || t >= f.To || (f.Node != nobody && f.Node != node) || (f.Peer != nobody && f.Peer != asker) ||
			(f.OnlyPersistent && !p.persistent) {
			continue
		}
		if p.random.Float64() >= f.Rate {
			continue
		}
		a.end(f.How, Cause{ByFault, int16(i)}) // #nosec G115 -- a scenario has few faults
		if kind == IngressDown {
			a.answer(503)
		}
		return true
	}
	return false
}

// end makes the request end without an answer.
func (a *attempt) end(how Ending, cause Cause) {
	a.cause, a.peer, a.status = cause, nobody, 0
	switch how {
	case ByTimeout:
		a.outcome, a.phase = probe.Timeout, probe.Connect
	case ByRefusal:
		a.outcome, a.phase = probe.Refused, probe.Connect
	case ByUnreachable:
		a.outcome, a.phase = probe.Unreachable, probe.Connect
	case ByReset:
		a.outcome, a.phase = probe.Reset, probe.FirstByte
	case BySilence:
		a.outcome, a.phase = probe.Timeout, probe.FirstByte
	}
}

// answer makes the request end with an unexpected status.
func (a *attempt) answer(status int16) {
	a.outcome, a.phase, a.status, a.peer = probe.BadStatus, probe.FirstByte, status, nobody
}

// toNodePort takes the request to the node whose port it is.
func (p *path) toNodePort(a *attempt, t time.Duration) {
	if p.crossLink(a, p.r.from, p.r.node, t) {
		return
	}
	if o, down := during(p.w.downs[p.r.node], t); down {
		a.end(o.how, o.cause)
		return
	}
	p.meetsFault(a, BlockedNodePort, p.r.node, p.r.from, t)
}

// crossLink takes the request over the network between two nodes, and reports whether it ended there.
func (p *path) crossLink(a *attempt, from, to int, t time.Duration) bool {
	if from == to || from == outsideCluster {
		return false
	}
	for _, kind := range [...]FaultKind{Partition, LossyLink} {
		for _, i := range p.w.faults[kind] {
			f := p.w.s.Faults[i]
			between := (f.Node == from && (f.Peer == to || f.Peer == nobody)) ||
				(f.Node == to && (f.Peer == from || f.Peer == nobody))
			if between && t >= f.From && t < f.To && p.random.Float64() < f.Rate {
				a.end(f.How, Cause{ByFault, int16(i)}) // #nosec G115 -- a scenario has few faults
				return true
			}
		}
	}
	return false
}

// choosePod picks a pod as the Service proxy of a node, or a proxy outside, does: from the pods that the proxy knows.
func (p *path) choosePod(a *attempt, at int, t time.Duration) int {
	known := t
	switch {
	case at != outsideCluster:
		known -= p.w.s.Nodes[at].ProxyLag
	case p.r.kind == target.Ingress:
		known -= p.w.s.Ingress.IgnoresEndpoints
	default:
		known -= p.w.s.Balancer.IgnoresEndpoints
	}
	var buffer [64]int
	candidates := p.candidates(buffer[:0], at, known)
	if len(candidates) == 0 {
		a.end(p.rejection(), p.w.whyEmpty(p.r, at, known))
		if p.r.kind == target.Ingress {
			a.answer(503)
		}
		return nobody
	}
	for _, i := range p.w.faults[StaleBackend] {
		// The list of the node has one more address, at which no pod is.
		f := p.w.s.Faults[i]
		if f.Node == at && t >= f.From && t < f.To && p.random.IntN(len(candidates)+1) == 0 {
			a.end(f.How, Cause{ByFault, int16(i)}) // #nosec G115 -- a scenario has few faults
			return nobody
		}
	}
	if at != outsideCluster && p.w.s.Service.Spread == OneOnly {
		return candidates[0]
	}
	if !p.sticks(at) {
		return candidates[p.random.IntN(len(candidates))]
	}
	if !slices.Contains(candidates, p.stuckTo) {
		p.stuckTo = candidates[p.random.IntN(len(candidates))]
	}
	return p.stuckTo
}

// rejection returns how a Service without backends turns requests away.
func (p *path) rejection() Ending {
	if p.r.kind == target.NodePort && p.w.s.Service.ExternalLocal {
		return ByTimeout
	}
	return ByRefusal
}

// sticks reports whether requests of the agent go to the same pod each time.
func (p *path) sticks(at int) bool {
	switch {
	case at != outsideCluster:
		return p.w.s.Service.Spread == Sticky
	case p.r.kind == target.Ingress:
		return p.w.s.Ingress.Sticky
	}
	return p.w.s.Balancer.Sticky
}

// candidates returns the pods that may be chosen: only the nearby ones if the Service prefers them.
func (p *path) candidates(all []int, at int, known time.Duration) []int {
	w, only := p.w, p.w.onlyNode(p.r)
	for i := range w.pods {
		if (only == nobody || w.pods[i].node == only) && w.pods[i].listed(known) {
			if _, silent := w.leftOut(i, at, known); !silent {
				all = append(all, i)
			}
		}
	}
	if at == outsideCluster {
		return all
	}
	near := func(i int) bool { return true }
	switch w.s.Service.Spread {
	case SameNode:
		near = func(i int) bool { return w.pods[i].node == at }
	case SameZone:
		near = func(i int) bool { return w.s.Nodes[w.pods[i].node].Zone == w.s.Nodes[at].Zone }
	case Even, Sticky, OneOnly:
		return all
	}
	if !slices.ContainsFunc(all, near) {
		return all
	}
	return slices.DeleteFunc(all, func(i int) bool { return !near(i) })
}

// leftOut returns the fault that keeps the node from choosing the pod, and whether there is one.
func (w *world) leftOut(p, at int, t time.Duration) (Cause, bool) {
	for _, i := range w.faults[SilentBackend] {
		f := w.s.Faults[i]
		if f.Node == p && (f.Peer == nobody || f.Peer == at) && t >= f.From && t < f.To {
			return Cause{ByFault, int16(i)}, true // #nosec G115 -- a scenario has few faults
		}
	}
	return Cause{}, false
}

// whyEmpty returns why no pod can be chosen.
func (w *world) whyEmpty(r route, at int, t time.Duration) Cause {
	for _, i := range r.answerers {
		if cause, silent := w.leftOut(i, at, t); silent {
			return cause
		}
		if o, out := during(w.pods[i].unlisted, t); out {
			return o.cause
		}
	}
	return Cause{}
}
