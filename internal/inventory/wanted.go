package inventory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kdoctor.io/kdoctor/internal/topology"
)

// nodeState is a node as the workload sees it.
type nodeState struct {
	// unwantedWhy is why the workload wants no pod on the node, as one clause; empty when it wants one.
	unwantedWhy string
	// removedWhy is why the node is about to be removed, as one clause; gone reports that it has been.
	removedWhy string
	gone       bool
	// runsNothingWhy is why a pod that is made for the node may never run there; empty for a node that runs pods.
	runsNothingWhy string
}

// nodeStates has the nodes by name.
type nodeStates map[string]nodeState

func nodeStatesOf(ctx context.Context, wanted workload, nodes []corev1.Node) nodeStates {
	all := make(nodeStates, len(nodes))
	for _, node := range nodes {
		all[node.Name] = nodeState{unwantedWhy: unwantedWhyOf(ctx, wanted, node), removedWhy: removedWhyOf(node),
			runsNothingWhy: noNodePorts(node)}
	}
	return all
}

// at returns the named node; a node that is in no list has gone.
func (s nodeStates) at(node string) nodeState {
	if found, ok := s[node]; ok {
		return found
	}
	return nodeState{gone: node != ""}
}

// unwantedWhyOf returns why a workload puts no pod on the node, as one clause, by the rules of the DaemonSet controller
// or, for a Deployment, of the scheduler: the template's node name, node selector and required affinity, and the taints
// that the pod does not tolerate. Taints by which Kubernetes itself says that a node is not well are no reason, because
// nobody chose them.
func unwantedWhyOf(ctx context.Context, wanted workload, node corev1.Node) string {
	spec := wanted.template.Spec
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return fmt.Sprintf("the agents' node is %s", spec.NodeName)
	}
	if fits, err := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, nil).Match(&node); err != nil || !fits {
		return selectorClause(spec.NodeSelector, node)
	}
	if fits, err := nodeaffinity.NewRequiredNodeAffinity(nil, spec.Affinity).Match(&node); err != nil || !fits {
		return "the agents' node affinity leaves it out"
	}
	tolerations := slices.Concat(spec.Tolerations, healthTolerations())
	if wanted.kind == topology.DaemonSet {
		tolerations = append(tolerations, tolerateAny(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule))
	}
	taint, untolerated := scheduling.FindMatchingUntoleratedTaint(logr.FromContextOrDiscard(ctx), node.Spec.Taints,
		tolerations, keepsOut, false)
	switch {
	case untolerated && taint.Key == corev1.TaintNodeUnschedulable:
		return "it is cordoned"
	case untolerated:
		return fmt.Sprintf("its taint %s is not tolerated", taint.ToString())
	}
	return ""
}

// selectorClause returns why the node selector leaves the node out. It names the operating system when the selector
// asks for another one.
func selectorClause(selector map[string]string, node corev1.Node) string {
	if wants, has := selector[corev1.LabelOSStable], node.Labels[corev1.LabelOSStable]; wants != "" && has != "" &&
		wants != has {
		return "it runs " + has
	}
	return "the agents' node selector leaves it out"
}

// healthTolerations are for the taints by which Kubernetes says that a node is not well. The DaemonSet controller adds
// most of them to every pod by itself.
func healthTolerations() []corev1.Toleration {
	var tolerations []corev1.Toleration
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeDiskPressure,
		corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure, corev1.TaintNodeNetworkUnavailable} {
		tolerations = append(tolerations, tolerateAny(key, ""))
	}
	return tolerations
}

func tolerateAny(key string, effect corev1.TaintEffect) corev1.Toleration {
	return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
}

// missingAgents returns a placeholder for every agent that the workload wants and that has no pod. covered has the
// nodes of the agents that take part, all the nodes of every pod of the workload.
func missingAgents(wanted workload, agents int, covered, all map[string]bool, states nodeStates) []topology.Agent {
	if wanted.kind == topology.Deployment {
		return missingReplicas(wanted, agents)
	}
	var missing []topology.Agent
	named, unwanted := 0, 0
	for node, state := range states {
		switch {
		case state.removedWhy != "":
			// The status may be from before the mark that keeps pods out.
		case state.unwantedWhy != "":
			if all[node] {
				unwanted++
			}
			continue
		case !covered[node] && state.runsNothingWhy == "":
			missing = append(missing, placeholder("on "+node, node, "no agent pod runs on the node"))
		}
		named++
	}
	for node := range all {
		if states.at(node).gone {
			unwanted++
		}
	}
	// The status may still count pods on nodes that the workload does not want, or that have gone, as wanted; it does
	// not count the pods that it calls misscheduled.
	named += max(unwanted-wanted.misscheduled, 0)
	// The DaemonSet counts more nodes than have names here: they get placeholders all the same.
	for n := named; n < wanted.desired; n++ {
		missing = append(missing,
			placeholder(fmt.Sprintf("on unknown node %d", n+1), "",
				"no agent pod runs on a node that the DaemonSet wants"))
	}
	return missing
}

func missingReplicas(wanted workload, have int) []topology.Agent {
	var missing []topology.Agent
	for n := have; n < wanted.desired; n++ {
		reason := fmt.Sprintf("no agent pod exists: the Deployment wants %d and has %d", wanted.desired, have)
		missing = append(missing, placeholder(fmt.Sprintf("for replica %d", n+1), "", reason))
	}
	return missing
}

// outside returns, by node, why the node has no agent and is not meant to have one. covered has the nodes of the agents
// that take part.
func outside(wanted workload, covered map[string]bool, states nodeStates) map[string]string {
	nodes := map[string]string{}
	for node, state := range states {
		if covered[node] {
			continue
		}
		switch {
		case state.removedWhy != "":
			nodes[node] = state.removedWhy
		case state.unwantedWhy != "":
			nodes[node] = state.unwantedWhy
		case state.runsNothingWhy != "":
			nodes[node] = state.runsNothingWhy
		case wanted.kind == topology.Deployment:
			nodes[node] = replicasClause(wanted.desired, len(states))
		}
	}
	return nodes
}

func replicasClause(replicas, nodes int) string {
	switch {
	case replicas == 1:
		return "the Deployment has 1 replica"
	case replicas < nodes:
		return fmt.Sprintf("the Deployment has %d replicas", replicas)
	}
	return fmt.Sprintf("the Deployment's %d replicas run on other nodes", replicas)
}
