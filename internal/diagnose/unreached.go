package diagnose

import (
	"fmt"
	"math"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/tally"
	"kdoctor.io/kdoctor/internal/target"
)

// mostUnreached is how many pods are named as unreached at most: where more are, the Service leaves pods out by some
// rule, and no pod is to blame.
const mostUnreached = 3

// unreached finds the pods that no agent's requests to a Service ever reached, by the answers of all agents together. A
// pod gets one in k of the answers of the agents that name it; with an expected number of L answers, none at all has
// the probability e^-L (Poisson).
func unreached(round report.Round, t *tally.Tally) []Finding {
	changed := map[string]bool{}
	for _, c := range round.Churn {
		changed[c.Pod] = true
	}
	nodes := map[string]string{}
	for _, e := range round.Expected {
		nodes[e.Pod] = e.Node
	}
	var findings []Finding
	for _, set := range round.Backends {
		k := len(set.Pods)
		if len(set.Askers) > 0 || set.UnevenWhy != "" || k < 2 {
			continue
		}
		answers, expected := answersTo(round, t, set)
		var silent []string
		for _, pod := range set.Pods {
			if answers[pod] == 0 && !changed[pod] && expected[pod] > math.Log(1e6*float64(k)) {
				silent = append(silent, pod)
			}
		}
		if len(silent) > mostUnreached {
			continue
		}
		for _, pod := range silent {
			findings = append(findings, Finding{Reason: "SilentBackend", Component: PodOrNode, Confidence: Medium,
				Where: "pod " + pod + " on node " + nodes[pod], Nodes: nodesNamed(nodes[pod]),
				Message: fmt.Sprintf("pod %s on node %s never answers for the Service, although the Service ought to lead to "+
					"it; look at the pod, at its readiness and at the Service's endpoints", pod, nodes[pod]),
				Evidence: []string{fmt.Sprintf("it gave none of the about %.0f answers that were its share", expected[pod])}})
		}
	}
	return findings
}

// answersTo returns, by pod of the set, how many answers it gave on the targets of the set, and how many were its share
// of all answers.
func answersTo(round report.Round, t *tally.Tally, set report.BackendSet) (answers map[string]uint64,
	expected map[string]float64) {
	answers, expected = map[string]uint64{}, map[string]float64{}
	// Agents of one class name the same pods.
	shares := map[uint32]float64{}
	k, listed := float64(len(set.Pods)), 0.0
	targets := make(map[string]bool, len(set.Targets))
	for _, id := range set.Targets {
		targets[id] = true
	}
	for i := range round.Agents {
		a := &round.Agents[i]
		for j := range a.Paths {
			p := &a.Paths[j]
			if !targets[p.Target.ID] || p.Reused > 0 {
				continue
			}
			for pod, n := range p.Peers {
				answers[pod] += n
			}
			listed += float64(p.OK) / k
		}
		for j := range a.Sums {
			if p := &a.Sums[j].Total; p.Target.Kind == target.NodePort && p.Target.MayAnswer() == target.Backends {
				shares[t.ClassOf(a.Pod)] += float64(p.OK) / k
				for pod, n := range p.Peers {
					answers[pod] += n
				}
			}
		}
	}
	for _, pod := range set.Pods {
		expected[pod] = listed + shares[t.ClassOf(pod)]
	}
	return answers, expected
}
