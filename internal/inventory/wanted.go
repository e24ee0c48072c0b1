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

// site is a node as the workload sees it.
type site struct {
	// keptOut is why the workload wants no pod there, as one clause; empty where it wants one.
	keptOut string
	// removing is why the node is about to go; gone reports that it has gone.
	removing string
	gone     bool
	// virtual is why no pod that is made for the node may ever run there; empty for a node that runs pods.
	virtual string
}

// sites are the nodes by name.
type sites map[string]site

func sitesOf(ctx context.Context, wanted workload, nodes []corev1.Node) sites {
	all := make(sites, len(nodes))
	for _, node := range nodes {
		all[node.Name] = site{keptOut: keptOutOf(ctx, wanted, node), removing: removing(node),
			virtual: noNodePorts(node)}
	}
	return all
}

// at returns the named node; one that is in no list has gone.
func (s sites) at(node string) site {
	if found, ok := s[node]; ok {
		return found
	}
	return site{gone: node != ""}
}

// keptOutOf is why a workload puts no pod on the node, as one clause, by the rules of the DaemonSet controller or, for
// a Deployment, of the scheduler: the template's node name, node selector and required affinity, and the taints that
// the pod does not tolerate. Taints by which Kubernetes itself says that a node is not well keep nobody out here: that
// is no wish of anybody's.
func keptOutOf(ctx context.Context, wanted workload, node corev1.Node) string {
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
		tolerations = append(tolerations, exists(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule))
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

// selectorClause names the operating system where that is what the selector asks for.
func selectorClause(selector map[string]string, node corev1.Node) string {
	if wants, has := selector[corev1.LabelOSStable], node.Labels[corev1.LabelOSStable]; wants != "" && has != "" &&
		wants != has {
		return "it runs " + has
	}
	return "the agents' node selector leaves it out"
}

// healthTolerations are for the taints by which Kubernetes says that a node is not well. The DaemonSet controller adds
// most of them to every pod of its own accord.
func healthTolerations() []corev1.Toleration {
	var tolerations []corev1.Toleration
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeDiskPressure,
		corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure, corev1.TaintNodeNetworkUnavailable} {
		tolerations = append(tolerations, exists(key, ""))
	}
	return tolerations
}

func exists(key string, effect corev1.TaintEffect) corev1.Toleration {
	return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
}

// absent returns a placeholder for every agent that the workload wants and that has no pod. occupied are the nodes of
// the agents that are there, all those of every pod of the workload.
func absent(wanted workload, agents int, occupied, all map[string]bool, places sites) []topology.Agent {
	if wanted.kind == topology.Deployment {
		return absentReplicas(wanted, agents)
	}
	var missing []topology.Agent
	named, unwanted := 0, 0
	for node, place := range places {
		switch {
		case place.removing != "":
			// The status may be from before the mark that keeps pods out.
		case place.keptOut != "":
			if all[node] {
				unwanted++
			}
			continue
		case !occupied[node] && place.virtual == "":
			missing = append(missing, placeholder("on "+node, node, "no agent pod runs on the node"))
		}
		named++
	}
	for node := range all {
		if places.at(node).gone {
			unwanted++
		}
	}
	// Pods on nodes that the workload does not want, or that have gone, may be among those that the status still counts
	// as wanted, but for those that it says are misscheduled.
	named += max(unwanted-wanted.misscheduled, 0)
	// The DaemonSet counts more than we can name: say so, rather than lose them.
	for n := named; n < wanted.desired; n++ {
		missing = append(missing,
			placeholder(fmt.Sprintf("on unknown node %d", n+1), "",
				"no agent pod runs on a node that the DaemonSet wants"))
	}
	return missing
}

func absentReplicas(wanted workload, have int) []topology.Agent {
	var missing []topology.Agent
	for n := have; n < wanted.desired; n++ {
		reason := fmt.Sprintf("no agent pod exists: the Deployment wants %d and has %d", wanted.desired, have)
		missing = append(missing, placeholder(fmt.Sprintf("for replica %d", n+1), "", reason))
	}
	return missing
}

// outside returns, by node, why it has no agent and is not meant to have one. occupied are the nodes of the agents that
// count.
func outside(wanted workload, occupied map[string]bool, places sites) map[string]string {
	nodes := map[string]string{}
	for node, place := range places {
		if occupied[node] {
			continue
		}
		switch {
		case place.removing != "":
			nodes[node] = place.removing
		case place.keptOut != "":
			nodes[node] = place.keptOut
		case place.virtual != "":
			nodes[node] = place.virtual
		case wanted.kind == topology.Deployment:
			nodes[node] = replicasClause(wanted.desired, len(places))
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
