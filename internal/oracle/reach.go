package oracle

import (
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// reachPod takes the request from a node, or from a proxy outside the cluster, to a pod, and back with the pod's
// answer.
func (p *path) reachPod(a *attempt, from, pod int, t time.Duration) {
	w := p.w
	a.to = int16(pod) // #nosec G115 -- there are at most 250 pods
	node := w.pods[pod].node
	if p.crossLink(a, from, node, t) {
		return
	}
	if o, down := during(w.downs[node], t); down {
		a.end(o.how, o.cause)
		return
	}
	if o, out := during(w.pods[pod].outages, t); out {
		p.meetAbsentPod(a, o)
		return
	}
	for _, kind := range [...]FaultKind{WrongPeer, WrongStatus, SlowPod} {
		p.applyPodFault(a, kind, pod, t)
		if a.outcome != probe.OK {
			return
		}
	}
	if p.applyAnswererLimits(a, pod, t); a.outcome != probe.OK {
		return
	}
	a.status = 200
	if a.peer == nobody {
		a.peer = int16(pod) // #nosec G115 -- there are at most 250 pods
	}
}

// meetAbsentPod ends a request to a pod that is not there. The address of a deleted pod may belong to another pod by
// then.
func (p *path) meetAbsentPod(a *attempt, o outage) {
	if o.cause.Culprit == ByChange {
		c := p.w.s.Changes[o.cause.Index]
		if i, ok := p.w.replacement(int(o.cause.Index)); ok && c.AddressReused && p.r.pod != nobody &&
			a.at >= p.w.pods[i].readyAt {
			a.outcome, a.phase, a.status, a.peer, a.cause = probe.WrongPeer, probe.Body, 200, int16(i),
				o.cause // #nosec G115 -- there are at most 250 pods
			return
		}
	}
	a.end(o.how, o.cause)
}

// applyPodFault applies a fault of the pod to its answer.
func (p *path) applyPodFault(a *attempt, kind FaultKind, pod int, t time.Duration) {
	for _, i := range p.w.faults[kind] {
		f := p.w.s.Faults[i]
		if f.Node != pod || t < f.From || t >= f.To || (f.OnlyPersistent && !p.persistent) ||
			p.random.Float64() >= f.Rate {
			continue
		}
		cause := Cause{ByFault, int16(i)} // #nosec G115 -- a scenario has few faults
		switch kind {
		case SlowPod:
			a.latency += micros(f.Delay)
			a.cause = cause
		case WrongStatus:
			a.answer(500)
			a.cause = cause
		case WrongPeer:
			a.peer = int16(f.Peer) // #nosec G115 -- there are at most 250 pods
			a.cause = cause
			if p.r.pod != nobody {
				a.outcome, a.phase, a.status = probe.WrongPeer, probe.Body, 200
			}
		default:
		}
	}
}

// applyAnswererLimits applies the lack of CPU of the pod to its answer.
func (p *path) applyAnswererLimits(a *attempt, pod int, t time.Duration) {
	if pod >= len(p.w.limits) {
		return
	}
	for _, i := range p.w.limits[pod] {
		l := p.w.s.Limits[i]
		if t < l.From || t >= l.To {
			continue
		}
		cause := Cause{ByAnswerer, int16(i)} // #nosec G115 -- a scenario has few limits
		switch x := p.random.Float64(); {
		case x < l.LostAnswers:
			a.end(BySilence, cause)
		case x < l.LostAnswers+l.SlowAnswers:
			a.latency += 20_000 + p.random.Int32N(180_000)
			a.cause = cause
		}
	}
}

// answerByProxy sets the answer of a proxy whose pod did not answer.
func (p *path) answerByProxy(a *attempt, at int) {
	if at != outsideCluster || a.outcome == probe.OK || a.outcome == probe.BadStatus {
		return
	}
	switch {
	case p.r.kind == target.Ingress && a.outcome == probe.Timeout:
		a.answer(504)
	case p.r.kind == target.Ingress:
		a.answer(502)
	case p.w.s.Balancer.AnswersForPods:
		a.outcome, a.phase = probe.Reset, probe.FirstByte
	}
}

// applyAskerLimits applies the asking agent's own limits to a request that was sent.
func (p *path) applyAskerLimits(a *attempt) {
	a.lag = 20 + p.random.Int32N(400)
	for _, i := range p.w.limits[p.r.asker] {
		l := p.w.s.Limits[i]
		if a.at < l.From || a.at >= l.To || (l.OnlyPersistent && !p.persistent) {
			continue
		}
		cause := Cause{ByAsker, int16(i)} // #nosec G115 -- a scenario has few limits
		x := p.random.Float64()
		switch {
		case x < l.Missed:
			*a = attempt{at: a.at, peer: nobody, missed: true, cause: cause}
		case x < l.Missed+l.Unsent:
			a.outcome, a.phase, a.status, a.peer, a.cause, a.latency = probe.NotSent, probe.Connect, 0, nobody, cause, 0
		case x < l.Missed+l.Unsent+l.Expired:
			if a.outcome == probe.OK {
				a.end([...]Ending{ByTimeout, BySilence}[p.random.IntN(2)], cause)
			}
		case x < l.Missed+l.Unsent+l.Expired+l.Late:
			a.lag += 8_000 + p.random.Int32N(120_000)
		}
	}
}
