package diagnose

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// look is what one agent saw of the pods behind one target, or behind several, in attempts that had a connection of
// their own each.
type look struct {
	// agent is the pod that asked.
	agent  string
	target *target.Target
	set    *backendSet
	peers  map[string]uint64
	// silent are the pods that ought to answer and never did, in a view from which something can be said.
	silent []string
	// answered is how many attempts one of the pods answered, lost how many failed that may have been led to a pod.
	answered, lost uint64
	// clean reports that no attempt failed, but for what changes excuse.
	clean bool
}

// way is a kind of path, as far as it says who selects the backend.
type way struct {
	kind target.Kind
	// short reports that the node of the client answers for a load balancer's address itself.
	short bool
}

func wayOf(t *target.Target) way { return way{t.Kind, t.Kind == target.LoadBalancer && t.ShortCircuit} }

func (w way) String() string {
	if w.short {
		return "LoadBalancer (answered by the client's own node)"
	}
	return string(w.kind)
}

// proxied reports whether something on the path speaks for the pods and may lead all requests of one client to the same
// ones: load balancers and Ingress controllers select by the client's address, or among connections of their own.
func (w way) proxied() bool { return !w.short && w.kind.Traits().Proxied }

// traits are those of the kind that leads to the pods: a node that answers for a load balancer does what it does for a
// cluster address.
func (w way) traits() target.Traits {
	if traits := w.kind.Traits(); traits.Component != "" && !w.short {
		return traits
	}
	return target.ClusterIP.Traits()
}

// component is what stands between a client and the pods.
func (w way) component() Component { return Component(w.traits().Component) }

// selector is what selects a pod, for people.
func (w way) selector() string { return w.traits().Chooser }

// bySource reports whether the client's own node selects the backend; otherwise whatever has the target's address does.
func (w way) bySource() bool { return w.short || w.kind == target.ClusterIP }

// told are the views from which something can be said of every pod: several pods ought to answer, and there are enough
// answers.
func (f facts) told() []look {
	var told []look
	for _, l := range f.views {
		if !enough(l.answered, len(l.set.pods), len(f.views)) {
			continue
		}
		for _, pod := range l.set.pods {
			if l.peers[pod] == 0 {
				l.silent = append(l.silent, pod)
			}
		}
		told = append(told, l)
	}
	return told
}

// enough reports whether n answers, each from one of k pods selected alike, are all but sure to come from every pod.
// The probability that one of the pods gives none is at most k(1-1/k)^n: that of a given pod, (1-1/k)^n, times the
// number of pods (Boole's inequality; this is the coupon collector's problem).
//
// Answers alone count: attempts that fail for another reason were never a pod's turn, and those that are lost because
// of a silent pod are no evidence that the others had theirs.
func enough(n uint64, k, comparisons int) bool { return unlikely(unmet(n, k), comparisons*k) }

// lost is how many attempts ended the way they do when they are led to a pod that does not answer: before the first
// byte of an answer. An Ingress answers in the place of a pod that does not, with a status of its own. What changes
// explain is lost to none of the other pods.
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

// uneven reports whether something that is known may lead the agent to some of the pods only.
func (l look) uneven() bool { return l.set.uneven != "" || wayOf(l.target).proxied() }

// most reports whether more than half of the pods are silent.
func (l look) most() bool { return 2*len(l.silent) > len(l.set.pods) }

// explained reports whether the lost attempts are as many as the silent pods' turns.
func (l look) explained() bool {
	return explained(l.lost, l.answered+l.lost, float64(len(l.silent))/float64(len(l.set.pods)))
}

// explained reports whether so many of n attempts are lost as pods that have the given share of the turns would lose,
// give or take three standard deviations of the binomial distribution.
func explained(lost, n uint64, share float64) bool {
	all := float64(n)
	return lost > 0 && math.Abs(float64(lost)-all*share) <= 3*math.Sqrt(all*share*(1-share))
}

// telling reports whether the silence means something. Where no attempt was lost, pods may just not be selected: that
// is no fault where something is known that makes the selection uneven, and where most pods are left out, the fault is
// not theirs.
func (l look) telling() bool {
	return l.explained() || (!l.uneven() && !l.most())
}

// tellingOf are the silent pods of whom the silence says something. Where the target's side selects the backend, and
// deals requests in turn, one agent may always meet the same few pods: without losses, a pod that has its turns there
// is not silent. Nor is one that a Service keeps from other nodes altogether.
func (f facts) tellingOf(l look) []string {
	switch {
	case !l.telling(), !l.explained() && f.isLocal(l):
		return nil
	case l.explained(), wayOf(l.target).bySource():
		return l.silent
	}
	return slices.DeleteFunc(slices.Clone(l.silent), func(pod string) bool { return f.hasTurns(l, pod) })
}

// hasTurns reports whether the pod answers about as often as the others on the view's target, whoever asks.
func (f facts) hasTurns(l look, pod string) bool {
	return slices.ContainsFunc(f.cells, func(c *cell) bool {
		t := c.targets[l.target.ID]
		return t != nil && c.set.key == l.set.key && float64(t.met[l.set.index[pod]]) >= evenly*t.least()
	})
}

// Seen is one agent's view of one target: the pod that probed, and the target's ID.
type Seen struct{ Agent, Target string }

// SilentBackends are the pods that never answered although they ought to have, by who saw it. Views of which nothing
// can be said, because there were too few requests or none of them had a connection of its own, are not in it; nor are
// those without silent pods.
func SilentBackends(round report.Round) map[Seen][]string {
	f := gather(round)
	silent := map[Seen][]string{}
	for _, l := range f.told() {
		if pods := f.tellingOf(l); len(pods) > 0 {
			silent[Seen{l.agent, l.target.ID}] = pods
		}
	}
	return silent
}
