package diagnose

import (
	"math"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// chance is the probability that anything is called silent in a round in which all backends are chosen alike and answer.
const chance = 0.001

// look is what one agent saw of the pods behind one target, in attempts of which each had a connection of its own.
type look struct {
	// agent is the pod that probed.
	agent  string
	target target.Target
	// pods ought to answer, silent are those of them that never did.
	pods, silent []string
	// answered is how many attempts one of the pods answered, lost how many nobody did that may have been led to a pod.
	answered, lost uint64
}

// looks are all from which something can be said: several pods ought to answer, one did, and so many answers came that each of the pods
// would have given one. Attempts over connections that others had opened are no choice of a backend, so paths that have some are left out.
// So are agents and pods that were changed meanwhile: the rest of the pods are chosen alike, whatever became of those.
func (f facts) looks() []look {
	type candidate struct {
		look
		path report.Path
	}
	var candidates []candidate
	for _, a := range f.round.Agents {
		if f.changed[a.Pod] {
			continue
		}
		for _, p := range a.Paths {
			if pods, _ := f.behind.Pods(a.Pod, p.Target.ID); len(pods) > 1 && p.Reused == 0 {
				candidates = append(candidates, candidate{look{agent: a.Pod, target: p.Target, pods: pods, answered: answered(p, pods), lost: lost(p)}, p})
			}
		}
	}
	var told []look
	for _, c := range candidates {
		if enough(c.answered, len(c.pods), len(candidates)) {
			c.silent = silentOf(c.path, c.pods)
			told = append(told, c.look)
		}
	}
	return told
}

// enough tells whether n answers, each from one of k pods chosen alike, are all but sure to come from every pod. The probability that
// one of the pods gives none is at most k(1-1/k)^n: that of a given pod, (1-1/k)^n, times the number of pods (Boole's inequality;
// this is the coupon collector's problem). What is looked at several times finds something by chance more often, so the
// bound holds for all comparisons together (Bonferroni's correction).
//
// Answers alone count: attempts that fail for another reason were never a pod's turn, and those that are lost because of a silent
// pod are no evidence that the others had theirs.
func enough(n uint64, k, comparisons int) bool {
	miss := float64(k) * math.Pow(1-1/float64(k), float64(n))
	return float64(comparisons)*miss <= chance
}

// answered is how many attempts the pods answered; 0 where some answers came from pods that were not counted by name,
// because then a pod without a count is not a pod without an answer.
func answered(p report.Path, pods []string) uint64 {
	var named, n uint64
	for _, count := range p.Peers {
		named += count
	}
	if named < p.OK {
		return 0
	}
	for _, pod := range pods {
		n += p.Peers[pod]
	}
	return n
}

func silentOf(p report.Path, pods []string) []string {
	var silent []string
	for _, pod := range pods {
		if p.Peers[pod] == 0 {
			silent = append(silent, pod)
		}
	}
	return silent
}

// lost is how many attempts ended the way they do when they are led to a pod that does not answer: before the first byte of an answer.
// An Ingress answers in the place of a pod that does not, with a status of its own. What changes explain is lost to none of the other pods.
func lost(p report.Path) uint64 {
	var n uint64
	for _, f := range p.Failures {
		if f.Phase != probe.Connect && f.Phase != probe.FirstByte {
			continue
		}
		switch f.Outcome {
		case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
			n += f.Count - f.Void
		case probe.BadStatus:
			if p.Target.Kind == target.Ingress {
				n += f.Count - f.Void
			}
		default:
		}
	}
	return n
}

// pins tells whether something on the way may lead all requests of one client to the same pods: load balancers and Ingress controllers
// choose by the client's address, or among connections of their own.
func pins(kind target.Kind) bool { return kind == target.LoadBalancer || kind == target.Ingress }

// most tells whether more than half of the pods are silent.
func (l look) most() bool { return 2*len(l.silent) > len(l.pods) }

// explained tells whether the lost attempts are as many as the silent pods' turns: m of k pods get m/k of all attempts, give or take
// three standard deviations of the binomial distribution.
func (l look) explained() bool {
	n, share := float64(l.answered+l.lost), float64(len(l.silent))/float64(len(l.pods))
	return l.lost > 0 && math.Abs(float64(l.lost)-n*share) <= 3*math.Sqrt(n*share*(1-share))
}

// telling tells whether the silence means something. Where no attempt was lost, pods may just not be chosen: behind what pins that
// is no fault, and neither is it where most pods are left out, such as by a Service that prefers what is near.
func (l look) telling() bool {
	if len(l.silent) == 0 {
		return false
	}
	return l.explained() || (!pins(l.target.Kind) && !l.most())
}

// Seen is one agent's view of one target: the pod that probed, and the target's ID.
type Seen struct{ Agent, Target string }

// SilentBackends are the pods that never answered although they ought to have, by who saw it. Views of which nothing can be said, because
// there were too few requests or none of them had a connection of its own, are not in it; nor are those without silent pods.
func SilentBackends(round report.Round) map[Seen][]string {
	silent := map[Seen][]string{}
	for _, l := range gather(round).looks() {
		if l.telling() {
			silent[Seen{l.agent, l.target.ID}] = l.silent
		}
	}
	return silent
}
