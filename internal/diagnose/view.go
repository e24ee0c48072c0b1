package diagnose

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// view is what one agent saw of the pods behind one target, in attempts that each had a connection of their own.
type view struct {
	// agent is the pod that asked.
	agent  string
	target *target.Target
	set    *backendSet
	peers  map[string]uint64
	// silent are the pods that ought to answer and never did, if the view has enough answers to show this.
	silent []string
	// answered is how many attempts one of the pods answered. lost is how many attempts failed that may have been led
	// to a pod.
	answered, lost uint64
	// clean reports that no attempt failed, except for what changes excuse.
	clean bool
}

// pathKind is a kind of path, as far as it determines what selects the backend.
type pathKind struct {
	kind target.Kind
	// shortCircuit reports that the client's node answers for a load balancer's address itself.
	shortCircuit bool
}

func pathKindOf(t *target.Target) pathKind {
	return pathKind{t.Kind, t.Kind == target.LoadBalancer && t.ShortCircuit}
}

func (w pathKind) String() string {
	if w.shortCircuit {
		return "LoadBalancer (answered by the client's own node)"
	}
	return string(w.kind)
}

// proxied reports whether a proxy on the path may lead all requests of one client to the same pods: load balancers and
// Ingress controllers select by the client's address, or among connections of their own.
func (w pathKind) proxied() bool { return !w.shortCircuit && w.kind.Traits().Proxied }

// traits returns the traits of the kind that leads to the pods. A node that answers for a load balancer treats its
// address like a cluster address.
func (w pathKind) traits() target.Traits {
	if traits := w.kind.Traits(); traits.Component != "" && !w.shortCircuit {
		return traits
	}
	return target.ClusterIP.Traits()
}

// component returns what is between a client and the pods.
func (w pathKind) component() Component { return Component(w.traits().Component) }

// selector names, for people, what selects a pod.
func (w pathKind) selector() string { return w.traits().Chooser }

// clientSelects reports whether the client's own node selects the backend. Otherwise the owner of the target's address
// does.
func (w pathKind) clientSelects() bool { return w.shortCircuit || w.kind == target.ClusterIP }

// explainedAtItsEnd reports whether requests of the view were lost and the ladder located a fault at the node that
// asked, or at the node whose port was asked.
func (f facts) explainedAtItsEnd(v view) bool {
	return !v.clean && slices.ContainsFunc(f.round.Located, func(fault Finding) bool {
		return fault.Probability > 0 && len(fault.Nodes) == 1 &&
			(fault.Nodes[0] == f.nodes[v.agent] || fault.Nodes[0] == v.target.AtNode)
	})
}

// answeredViews returns the views with enough answers to expect one from every pod, with their silent pods.
func (f facts) answeredViews() []view {
	var answered []view
	for _, v := range f.views {
		if !enoughAnswers(v.answered, len(v.set.pods), len(f.views)) {
			continue
		}
		for _, pod := range v.set.pods {
			if v.peers[pod] == 0 {
				v.silent = append(v.silent, pod)
			}
		}
		answered = append(answered, v)
	}
	return answered
}

// enoughAnswers reports whether n answers, each from one of k pods selected alike, are all but sure to come from every
// pod. The probability that one of the pods gives none is at most k(1-1/k)^n: the probability for a given pod,
// (1-1/k)^n, times the number of pods (Boole's inequality; this is the coupon collector's problem).
//
// Only answers count. Attempts that fail for another reason were never a pod's turn, and attempts that are lost to a
// silent pod are no evidence that the others had their turns.
func enoughAnswers(n uint64, k, comparisons int) bool {
	return unlikely(logMissed(n, k), comparisons*k)
}

// lost returns how many attempts ended like attempts that are led to a pod that does not answer: before the first byte
// of an answer. An Ingress answers with a status of its own in place of such a pod. Failures that changes explain do
// not count.
func lost(p *report.Path) uint64 {
	var n uint64
	for _, f := range p.Failures {
		if f.Phase != probe.Connect && f.Phase != probe.FirstByte {
			continue
		}
		switch f.Outcome {
		case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
			n += f.Count - min(f.Count, f.Excused)
		case probe.BadStatus:
			if p.Target.Kind == target.Ingress {
				n += f.Count - min(f.Count, f.Excused)
			}
		}
	}
	return n
}

// uneven reports whether a known reason may lead the agent to only some of the pods.
func (v view) uneven() bool { return v.set.uneven != "" || pathKindOf(v.target).proxied() }

// mostSilent reports whether more than half of the pods are silent.
func (v view) mostSilent() bool { return 2*len(v.silent) > len(v.set.pods) }

// explained reports whether the lost attempts are about as many as the silent pods' turns.
func (v view) explained() bool {
	return explained(v.lost, v.answered+v.lost, float64(len(v.silent))/float64(len(v.set.pods)))
}

// explained reports whether lost of n attempts are about as many as pods with the given share of the turns would lose,
// within three standard deviations of the binomial distribution.
func explained(lost, n uint64, share float64) bool {
	all := float64(n)
	return lost > 0 && math.Abs(float64(lost)-all*share) <= 3*math.Sqrt(all*share*(1-share))
}

// provesSilence reports whether the silence means a fault. If no attempt was lost, the pods may just not be selected.
// That is no fault if a known reason makes the selection uneven; and if most pods are left out, the fault is not
// theirs.
func (v view) provesSilence() bool {
	return v.explained() || (!v.uneven() && !v.mostSilent())
}

// provenSilent returns the pods whose silence means a fault. If the target's side selects the backend, and deals
// requests in turn, one agent may always meet the same few pods: without losses, a pod that gets its turns there is not
// silent. A pod that a Service keeps from other nodes altogether is not silent either.
func (f facts) provenSilent(v view) []string {
	switch {
	case !v.provesSilence(), !v.explained() && f.knownLocal(v):
		return nil
	case v.explained(), pathKindOf(v.target).clientSelects():
		return v.silent
	}
	return slices.DeleteFunc(slices.Clone(v.silent), func(pod string) bool { return f.getsTurns(v, pod) })
}

// getsTurns reports whether the pod answers about as often as the others on the view's target, whoever asks.
func (f facts) getsTurns(v view, pod string) bool {
	return slices.ContainsFunc(f.cells, func(c *cell) bool {
		t := c.targets[v.target.ID]
		return t != nil && c.set.key == v.set.key && float64(t.answers[v.set.index[pod]]) >= fairPart*t.leastTurns()
	})
}

// AgentTarget is one agent and the ID of one of its targets.
type AgentTarget struct{ Agent, Target string }

// SilentBackends returns, by agent and target, the pods that never answered although they ought to have. Views that
// show nothing are left out, because they had too few requests, or requests without a connection of their own. Views
// without silent pods are left out too.
func SilentBackends(round report.Round) map[AgentTarget][]string {
	f := gather(round)
	silent := map[AgentTarget][]string{}
	for _, v := range f.answeredViews() {
		if pods := f.provenSilent(v); len(pods) > 0 {
			silent[AgentTarget{v.agent, v.target.ID}] = pods
		}
	}
	return silent
}
