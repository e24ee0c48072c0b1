package inventory_test

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

func labelled(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[key] = value }
}

func annotated(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Annotations = map[string]string{key: value} }
}

func cordonedNode(n *corev1.Node) { n.Spec.Unschedulable = true }

func ready(status corev1.ConditionStatus, message string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Message: message}}
	}
}

func TestNodesThatAreTakenOutOfTheCluster(t *testing.T) {
	const kured, drain, mcm = "weave.works/kured-reboot-in-progress", "machineconfiguration.openshift.io/desiredDrain",
		"node.machine.sapcloud.io/trigger-deletion-by-mcm"
	prefer := corev1.TaintEffectPreferNoSchedule
	for name, c := range map[string]struct {
		marks    []func(*corev1.Node)
		removing string
		cordoned bool
	}{
		"nothing":                {nil, "", false},
		"a taint of the admin's": {[]func(*corev1.Node){tainted("dedicated", noSchedule)}, "", false},
		"cordoned by hand":       {[]func(*corev1.Node){cordonedNode}, "", true},
		"the taint of a cordoned node": {[]func(*corev1.Node){tainted(corev1.TaintNodeUnschedulable, noSchedule)},
			"", true},
		"the cluster autoscaler": {[]func(*corev1.Node){tainted("ToBeDeletedByClusterAutoscaler",
			noSchedule)}, "the cluster autoscaler removes it", true},
		"a candidate of the autoscaler": {[]func(*corev1.Node){tainted("DeletionCandidateOfClusterAutoscaler",
			prefer)}, "", false},
		"a candidate that is cordoned": {[]func(*corev1.Node){cordonedNode,
			tainted("DeletionCandidateOfClusterAutoscaler", prefer)}, "", true},
		"a taint that only asks": {[]func(*corev1.Node){tainted("karpenter.sh/disrupted", prefer)}, "",
			false},
		"Karpenter": {[]func(*corev1.Node){tainted("karpenter.sh/disrupted", noSchedule)},
			"Karpenter removes it", true},
		"Karpenter, before v1": {[]func(*corev1.Node){tainted("karpenter.sh/disruption", noSchedule)},
			"Karpenter removes it", true},
		"Karpenter restarts": {[]func(*corev1.Node){tainted("karpenter.sh/rebooting", noSchedule)},
			"Karpenter restarts it", true},
		"a machine that is shut down": {[]func(*corev1.Node){tainted("node.cloudprovider.kubernetes.io/shutdown",
			noSchedule)}, "its machine is shut down", true},
		"out of service": {[]func(*corev1.Node){tainted(corev1.TaintNodeOutOfService, noExecute)},
			"somebody declared it out of service", true},
		"a spot instance that AWS takes": {[]func(*corev1.Node){tainted("aws-node-termination-handler/spot-itn",
			noSchedule)}, "AWS takes its spot instance back", true},
		"an Auto Scaling group": {[]func(
			*corev1.Node){tainted("aws-node-termination-handler/asg-lifecycle-termination", noSchedule)},
			"its Auto Scaling group terminates it", true},
		"AWS's maintenance": {[]func(
			*corev1.Node){tainted("aws-node-termination-handler/scheduled-maintenance", noSchedule)},
			"AWS maintains its instance", true},
		"a recommendation of AWS's": {[]func(
			*corev1.Node){tainted("aws-node-termination-handler/rebalance-recommendation", noSchedule)}, "", true},
		"one that only asks": {[]func(
			*corev1.Node){tainted("aws-node-termination-handler/rebalance-recommendation", prefer)}, "", false},
		"Google Cloud terminates": {[]func(
			*corev1.Node){tainted("cloud.google.com/impending-node-termination", noSchedule)},
			"Google Cloud terminates it", true},
		"Google Cloud maintains": {[]func(*corev1.Node){labelled("cloud.google.com/active-node-maintenance",
			"ONGOING")}, "Google Cloud maintains its host", true},
		"Google Cloud has not begun": {[]func(*corev1.Node){labelled("cloud.google.com/active-node-maintenance",
			"PENDING")}, "", false},
		"AKS drains": {[]func(
			*corev1.Node){tainted("remediator.kubernetes.azure.com/unschedulable", noSchedule)},
			"AKS drains it for an event of its machine", true},
		"AKS drains, by the older name": {[]func(*corev1.Node){tainted("remediator.aks.microsoft.com/unschedulable",
			noSchedule)}, "AKS drains it for an event of its machine", true},
		"a spot node of AKS": {[]func(*corev1.Node){tainted("kubernetes.azure.com/scalesetpriority",
			noSchedule)}, "", false},
		"the machine controller manager": {[]func(*corev1.Node){annotated(mcm, "true")},
			"the machine controller manager deletes its machine", true},
		"one that it is not to delete": {[]func(*corev1.Node){annotated(mcm, "false")}, "", false},
		"the node maintenance operator": {[]func(*corev1.Node){tainted("medik8s.io/drain", noSchedule)},
			"the node maintenance operator drains it", true},
		"kured restarts": {[]func(*corev1.Node){cordonedNode, annotated(kured, "2026-01-02")},
			"kured restarts it", true},
		"kured waits": {[]func(*corev1.Node){annotated(kured, "2026-01-02")}, "", false},
		"the machine config operator": {[]func(*corev1.Node){cordonedNode,
			annotated(drain, "drain-rendered-worker")}, "the machine config operator drains it", true},
		"the machine config operator waits": {[]func(*corev1.Node){annotated(drain,
			"drain-rendered-worker")}, "", false},
		"the machine config operator is done, and somebody else cordons": {[]func(*corev1.Node){cordonedNode,
			annotated(drain, "uncordon-rendered-worker")}, "", true},
		"the machine shuts down": {[]func(*corev1.Node){ready(corev1.ConditionFalse,
			"[runtime is down, node is shutting down]")}, "its machine shuts down", true},
		"the machine is not ready": {[]func(*corev1.Node){ready(corev1.ConditionFalse, "container runtime is down")},
			"", false},
		"another condition says so": {[]func(*corev1.Node){func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions,
				corev1.NodeCondition{Type: "Other", Status: corev1.ConditionFalse, Message: "node is shutting down"})
		}}, "", false},
		"the machine told so before it fell silent": {[]func(*corev1.Node){ready(corev1.ConditionUnknown,
			"node is shutting down")}, "", false},
		"the Node object is deleted": {[]func(*corev1.Node){deletedNode}, "its Node object is being deleted",
			true},
		"Karpenter deletes the Node object": {[]func(*corev1.Node){deletedNode,
			tainted("karpenter.sh/disrupted", noSchedule)}, "Karpenter removes it", true},
	} {
		t.Run(name, func(t *testing.T) {
			got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, daemonSet(0),
				node("n", c.marks...)).Nodes[0]
			if got.Removing != c.removing || got.Cordoned != c.cordoned {
				t.Errorf("removing %q, cordoned %t; want %q, %t", got.Removing, got.Cordoned, c.removing, c.cordoned)
			}
		})
	}
}

func TestNodesWithoutNodePorts(t *testing.T) {
	valued := func(key, value string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: key, Value: value, Effect: noSchedule}} }
	}
	const isVirtual, isFargate, isOther = "it is a virtual node, which runs no Service proxy",
		"it is a Fargate node, which answers on no node ports", "it stands for another cluster"
	for name, c := range map[string]struct {
		mark func(*corev1.Node)
		want string
	}{
		"a node like others":              {func(*corev1.Node) {}, ""},
		"the taint of a virtual kubelet":  {valued("virtual-kubelet.io/provider", "azure"), isVirtual},
		"a label of the same name":        {labelled("virtual-kubelet.io/provider", "azure"), isVirtual},
		"its label":                       {labelled("type", "virtual-kubelet"), isVirtual},
		"another type":                    {labelled("type", "gpu"), ""},
		"the taint of the ACI connector":  {valued("azure.com/aci", ""), isVirtual},
		"Fargate by its label":            {labelled("eks.amazonaws.com/compute-type", "fargate"), isFargate},
		"Fargate by its taint":            {valued("eks.amazonaws.com/compute-type", "fargate"), isFargate},
		"a hybrid node":                   {labelled("eks.amazonaws.com/compute-type", "hybrid"), ""},
		"a taint of another compute type": {valued("eks.amazonaws.com/compute-type", "auto"), ""},
		"Liqo by its label":               {labelled("liqo.io/type", "virtual-node"), isOther},
		"Liqo by its taint":               {valued("virtual-node.liqo.io/not-allowed", "true"), isOther},
		"a fake node":                     {annotated("kwok.x-k8s.io/node", "fake"), "it is a fake node"},
	} {
		t.Run(name, func(t *testing.T) {
			got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, daemonSet(0),
				node("n", c.mark)).Nodes[0]
			if got.NoNodePorts != c.want {
				t.Errorf("%q, want %q", got.NoNodePorts, c.want)
			}
		})
	}
}

func TestAddressesOfANode(t *testing.T) {
	listed := func(all ...corev1.NodeAddress) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Status.Addresses = all }
	}
	internal := func(text string) corev1.NodeAddress {
		return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: text}
	}
	external := func(text string) corev1.NodeAddress {
		return corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: text}
	}
	for name, c := range map[string]struct {
		node          func(*corev1.Node)
		all, external []netip.Addr
	}{
		"InternalIPs come first": {listed(external("203.0.113.1"), internal("198.18.0.1"),
			internal("198.18.0.2")), addresses("198.18.0.1", "198.18.0.2", "203.0.113.1"), addresses("203.0.113.1")},
		"one that is both is internal": {listed(external("198.18.0.1"), internal("198.18.0.1")),
			addresses("198.18.0.1"), nil},
		"one that is there twice counts once": {listed(external("203.0.113.1"), external("203.0.113.1")),
			addresses("203.0.113.1"), addresses("203.0.113.1")},
		"text that is no address is left out": {listed(internal("?"), internal("fe80::1%eth0"), internal("127.0.0.1")),
			addresses("127.0.0.1"), nil},
		"a name is left out": {listed(corev1.NodeAddress{Type: corev1.NodeInternalDNS, Address: "198.18.0.1"}), nil,
			nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, daemonSet(0),
				node("n", c.node)).Nodes[0]
			if !slices.Equal(got.Addresses, c.all) || !slices.Equal(got.External, c.external) {
				t.Errorf("%v, external %v; want %v, %v", got.Addresses, got.External, c.all, c.external)
			}
		})
	}
}
