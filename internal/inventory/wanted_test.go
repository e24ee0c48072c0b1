package inventory_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

func snapshot(t *testing.T, of topology.Workload, objects ...client.Object) topology.Snapshot {
	t.Helper()
	s, err := inventory.New(reader(t, objects), namespace).Snapshot(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// where is who stands where: the agents that count, those that nobody misses, and the nodes that are outside.
type where struct {
	Agents  []seen
	Leaving []string
	Outside map[string]string
}

func whereOf(s topology.Snapshot) where {
	var w where
	for _, a := range s.Agents {
		w.Agents = append(w.Agents, seen{a.Pod, a.Node, a.NotReady})
	}
	for _, a := range s.Leaving {
		w.Leaving = append(w.Leaving, a.Pod)
	}
	for _, n := range s.Nodes {
		if n.Outside != "" {
			if w.Outside == nil {
				w.Outside = map[string]string{}
			}
			w.Outside[n.Name] = n.Outside
		}
	}
	return w
}

const (
	noAgent    = "no agent pod runs on the node"
	unknown    = "no agent pod runs on a node that the DaemonSet wants"
	notWished  = "its taint x:NoSchedule is not tolerated"
	noSchedule = corev1.TaintEffectNoSchedule
	noExecute  = corev1.TaintEffectNoExecute
)

// status sets what the DaemonSet's controller says, with the generation that it has seen of 2.
func status(desired, misscheduled int32, generation int64) *appsv1.DaemonSet {
	d := daemonSet(desired)
	d.Generation = 2
	d.Status.NumberMisscheduled, d.Status.ObservedGeneration = misscheduled, generation
	return d
}

// pinned is a pod that its DaemonSet made for the node and that is not there yet.
func pinned(name, node string) *corev1.Pod {
	p := pod(name, node, "workload", unscheduled)
	p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values = []string{node}
	return p
}

// pinnedBy is a pod that is not there yet, with one required field of the node.
func pinnedBy(name string, field corev1.NodeSelectorRequirement) *corev1.Pod {
	p := pod(name, "", "workload", unscheduled)
	p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0] = field
	return p
}

func TestNodesThatWantAnAgentAreComparedWithThoseThatHaveOne(t *testing.T) {
	kept := node("n3", tainted("x", noSchedule))
	virtual := node("v1", func(n *corev1.Node) { n.Labels["type"] = "virtual-kubelet" })
	started := containers(
		corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(100, 0)}}})
	crashed := containers(
		corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.Unix(100, 0)}}})
	for name, c := range map[string]struct {
		objects []client.Object
		want    where
	}{
		"a pod on a node that is not wanted hides no node without one": {
			[]client.Object{daemonSet(2), node("n1"), node("n2"), kept, pod("a", "n1", "workload"),
				pod("c", "n3", "workload")},
			where{Agents: []seen{{"a", "n1", ""}, {"(none on n2)", "n2", noAgent}, {"c", "n3", ""}}}},
		"a status that counts too few hides no node without one": {
			[]client.Object{daemonSet(1), node("n1"), node("n2"), pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}, {"(none on n2)", "n2", noAgent}}}},
		"a status that counts nothing hides no node without one": {
			[]client.Object{daemonSet(0), node("n1"), node("n2"), pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}, {"(none on n2)", "n2", noAgent}}}},
		"two pods on a node hide no node without one": {
			[]client.Object{daemonSet(2), node("n1"), node("n2"), pod("a", "n1", "workload"),
				pod("b", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}, {"b", "n1", ""}, {"(none on n2)", "n2", noAgent}}}},
		"a status that counts too many names what it can and counts the rest": {
			[]client.Object{status(4, 0, 2), node("n1"), node("n2"), pod("a", "n1", "workload")},
			where{Agents: []seen{{"(none on unknown node 3)", "", unknown}, {"(none on unknown node 4)", "", unknown},
				{"a", "n1", ""}, {"(none on n2)", "n2", noAgent}}}},
		"a status about an earlier spec counts nothing": {
			[]client.Object{status(4, 0, 1), node("n1"), pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}}}},
		"a status that still counts a node with a new taint misses nobody": {
			[]client.Object{status(2, 0, 2), node("n1"), kept, pod("a", "n1", "workload"), pod("c", "n3", "workload")},
			where{Agents: []seen{{"a", "n1", ""}, {"c", "n3", ""}}}},
		"a pod that the status calls misscheduled hides none that it counts": {
			[]client.Object{status(2, 1, 2), node("n1"), kept, pod("a", "n1", "workload"), pod("c", "n3", "workload")},
			where{Agents: []seen{{"(none on unknown node 2)", "", unknown}, {"a", "n1", ""}, {"c", "n3", ""}}}},
		"a pod on a node that has gone is among those that the status counts": {
			[]client.Object{status(2, 0, 2), node("n1"), pod("a", "n1", "workload"), pod("c", "gone", "workload")},
			where{Agents: []seen{{"c", "gone", ""}, {"a", "n1", ""}}}},
		"a pod that goes with its node is not missed": {
			[]client.Object{status(2, 0, 2), node("n1"), pod("a", "n1", "workload"),
				pod("c", "gone", "workload", terminating)},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"c"}}},
		"a pod that waits for its node stands on it": {
			[]client.Object{daemonSet(2), node("n1"), node("n2"), pod("a", "n1", "workload"), pinned("b", "n2")},
			where{Agents: []seen{{"a", "n1", ""},
				{"b", "n2", "pod is Pending: Unschedulable: 0/1 nodes are available"}}}},
		"a pod that waits and was made for no node alone stands on none": {
			[]client.Object{daemonSet(1), node("n1"),
				pinnedBy("b", corev1.NodeSelectorRequirement{Key: "kubernetes.io/arch",
					Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}})},
			where{Agents: []seen{{"b", "", "pod is Pending: Unschedulable: 0/1 nodes are available"},
				{"(none on n1)", "n1", noAgent}}}},
		"a pod that waits and has no affinity stands on none": {
			[]client.Object{daemonSet(1), node("n1"),
				pod("b", "", "workload", unscheduled,
					func(p *corev1.Pod) { p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}} })},
			where{Agents: []seen{{"b", "", "pod is Pending: Unschedulable: 0/1 nodes are available"},
				{"(none on n1)", "n1", noAgent}}}},
		"a pod without a control port takes no part": {
			[]client.Object{daemonSet(1), node("n1"),
				pod("a", "n1", "workload",
					func(p *corev1.Pod) { p.Spec.Containers[0].Ports = p.Spec.Containers[0].Ports[:1] })},
			where{Agents: []seen{{"a", "n1", "pod has no container ports named http and control"}}}},
		"a pod that waits for a node where none is wanted any more is not missed": {
			[]client.Object{daemonSet(1), node("n1"), kept, pod("a", "n1", "workload"), pinned("c", "n3")},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"c"},
				Outside: map[string]string{"n3": notWished}}},
		"a pod that is evicted by a taint is not missed": {
			[]client.Object{daemonSet(1), node("n1"), node("n3", tainted("x", noExecute)), pod("a", "n1", "workload"),
				pod("c", "n3", "workload", terminating)},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"c"},
				Outside: map[string]string{"n3": "its taint x:NoExecute is not tolerated"}}},
		"a pod that runs on a node where none is wanted and is not ready is told of": {
			[]client.Object{daemonSet(1), node("n1"), kept, pod("a", "n1", "workload"),
				pod("c", "n3", "workload", unready)},
			where{Agents: []seen{{"a", "n1", ""}, {"c", "n3", "container agent is not ready"}}}},
		"a node that Kubernetes itself calls unwell is missed": {
			[]client.Object{daemonSet(0), node("n1", notReadyNode, tainted(corev1.TaintNodeNotReady, noSchedule)),
				node("n2", tainted(corev1.TaintNodeNetworkUnavailable, noSchedule)),
				node("n3", tainted(corev1.TaintNodeDiskPressure, noSchedule)),
				node("n4", tainted(corev1.TaintNodeMemoryPressure, noSchedule)),
				node("n5", tainted(corev1.TaintNodePIDPressure, noSchedule)),
				node("n6", tainted(corev1.TaintNodeUnreachable, noSchedule))},
			where{Agents: []seen{{"(none on n1)", "n1", noAgent}, {"(none on n2)", "n2", noAgent},
				{"(none on n3)", "n3", noAgent}, {"(none on n4)", "n4", noAgent}, {"(none on n5)", "n5", noAgent},
				{"(none on n6)", "n6", noAgent}}}},
		"a node that is being removed is not missed": {
			[]client.Object{status(2, 0, 2), node("n1"),
				node("n2", tainted("ToBeDeletedByClusterAutoscaler", noSchedule)), pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}},
				Outside: map[string]string{"n2": "the cluster autoscaler removes it"}}},
		"nor is a node whose object is being deleted": {
			[]client.Object{daemonSet(2), node("n1"), node("n2", deletedNode), pod("a", "n1", "workload"),
				pod("b", "n2", "workload", terminating)},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"b"},
				Outside: map[string]string{"n2": "its Node object is being deleted"}}},
		"nor is an agent that is not ready on a node that is being removed": {
			[]client.Object{status(1, 0, 2), node("n1"),
				node("n2", notReadyNode, tainted("karpenter.sh/disrupted", noSchedule)), pod("a", "n1", "workload"),
				pod("b", "n2", "workload", unready)},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"b"},
				Outside: map[string]string{"n2": "Karpenter removes it"}}},
		"a pod that never ran on a virtual node is not missed": {
			[]client.Object{status(2, 0, 2), node("n1"), virtual, pod("a", "n1", "workload"), pinned("v", "v1")},
			where{Agents: []seen{{"a", "n1", ""}}, Leaving: []string{"v"},
				Outside: map[string]string{"v1": "it is a virtual node, which runs no Service proxy"}}},
		"nor is one that was never made": {
			[]client.Object{status(2, 0, 2), node("n1"), virtual, pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}},
				Outside: map[string]string{"v1": "it is a virtual node, which runs no Service proxy"}}},
		"a virtual node hides no machine without an agent": {
			[]client.Object{status(3, 0, 2), node("n1"), node("n2"), virtual, pod("a", "n1", "workload"),
				pinned("v", "v1")},
			where{Agents: []seen{{"a", "n1", ""}, {"(none on n2)", "n2", noAgent}}, Leaving: []string{"v"},
				Outside: map[string]string{"v1": "it is a virtual node, which runs no Service proxy"}}},
		"an agent that runs on a virtual node takes part": {
			[]client.Object{status(2, 0, 2), node("n1"), virtual, pod("a", "n1", "workload"),
				pod("v", "v1", "workload", started)},
			where{Agents: []seen{{"a", "n1", ""}, {"v", "v1", ""}}}},
		"and is missed once it does not": {
			[]client.Object{status(2, 0, 2), node("n1"), virtual, pod("a", "n1", "workload"),
				pod("v", "v1", "workload", unready, started)},
			where{Agents: []seen{{"a", "n1", ""}, {"v", "v1", "container sidecar is not ready"}}}},
		"so is one that ended": {
			[]client.Object{status(1, 0, 2), virtual, pod("v", "v1", "workload", unready, crashed)},
			where{Agents: []seen{{"v", "v1", "container sidecar is not ready"}}}},
		"an agent that is ready on a node that is being removed takes part": {
			[]client.Object{daemonSet(1), node("n1", deletedNode), pod("a", "n1", "workload")},
			where{Agents: []seen{{"a", "n1", ""}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := whereOf(snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, c.objects...))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func deletedNode(n *corev1.Node) {
	n.DeletionTimestamp, n.Finalizers = &metav1.Time{Time: time.Unix(100, 0)}, []string{"karpenter.sh/termination"}
}

func os(name string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = name }
}

func TestNodesThatAreOutsideSayWhy(t *testing.T) {
	affinity := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
		{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone,
			Operator: corev1.NodeSelectorOpIn, Values: []string{"zone-n2"}}}}}}}}
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		node *corev1.Node
		want string
	}{
		"a node that is wanted is not outside": {corev1.PodSpec{}, node("n1"), ""},
		"the template names another node": {corev1.PodSpec{NodeName: "n2"}, node("n1"),
			"the agents' node is n2"},
		"the template names the node":                       {corev1.PodSpec{NodeName: "n1"}, node("n1"), ""},
		"the selector asks for a label that the node lacks": {corev1.PodSpec{NodeSelector: map[string]string{"pool": "a"}}, node("n1"), "the agents' node selector leaves it out"},
		"the selector asks for another operating system":    {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}}, node("n1", os("windows")), "it runs windows"},
		"the node does not say what it runs":                {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}}, node("n1"), "the agents' node selector leaves it out"},
		"the selector asks for the operating system and a label that the node lacks": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "linux", "pool": "a"}},
			node("n1", os("linux")), "the agents' node selector leaves it out"},
		"the selector asks for a label alone": {corev1.PodSpec{NodeSelector: map[string]string{"pool": "a"}},
			node("n1", os("linux")), "the agents' node selector leaves it out"},
		"the affinity asks for another zone": {corev1.PodSpec{Affinity: affinity}, node("n1"),
			"the agents' node affinity leaves it out"},
		"the affinity asks for the node's zone": {corev1.PodSpec{Affinity: affinity}, node("n2"), ""},
		"a taint with a value is not tolerated": {corev1.PodSpec{},
			node("n1", func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "k", Value: "v",
					Effect: noSchedule}}
			}), "its taint k=v:NoSchedule is not tolerated"},
		"a taint is tolerated": {corev1.PodSpec{Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}, node("n1", tainted("k", noExecute)), ""},
		"a taint that only asks is no obstacle": {corev1.PodSpec{},
			node("n1", tainted("k", corev1.TaintEffectPreferNoSchedule)), ""},
		"a node that is being removed says that first": {corev1.PodSpec{},
			node("n1", tainted("karpenter.sh/disrupted", noSchedule)), "Karpenter removes it"},
		"a cordoned node is wanted": {corev1.PodSpec{}, node("n1", tainted(corev1.TaintNodeUnschedulable, noSchedule)),
			""},
	} {
		t.Run(name, func(t *testing.T) {
			d := daemonSet(0)
			d.Spec.Template.Spec = c.spec
			got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, d, c.node)
			if got.Nodes[0].Outside != c.want {
				t.Errorf("%q, want %q", got.Nodes[0].Outside, c.want)
			}
			if missed := len(got.Agents) > 0; missed != (c.want == "") {
				t.Errorf("an agent is missed: %t; agents %+v", missed, got.Agents)
			}
		})
	}
}

func TestNodesOutsideADeployment(t *testing.T) {
	controller := true
	deployment := func(replicas int32) []client.Object {
		return []client.Object{
			&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agents", UID: "workload"},
				Spec: appsv1.DeploymentSpec{Replicas: &replicas,
					Selector: &metav1.LabelSelector{MatchLabels: labels()}}},
			&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "set", UID: types.UID("set"),
				Labels:          labels(),
				OwnerReferences: []metav1.OwnerReference{{UID: "workload", Controller: &controller}}}}}
	}
	three := []client.Object{node("n1"), node("n2"), node("n3")}
	for name, c := range map[string]struct {
		replicas int32
		objects  []client.Object
		want     where
	}{
		"fewer replicas than nodes leave nodes out": {2, append(three, pod("a", "n1", "set"), pod("b", "n2", "set")),
			where{Agents: []seen{{"a", "n1", ""}, {"b", "n2", ""}},
				Outside: map[string]string{"n3": "the Deployment has 2 replicas"}}},
		"so does one replica": {1, append(three, pod("a", "n1", "set")),
			where{Agents: []seen{{"a", "n1", ""}},
				Outside: map[string]string{"n2": "the Deployment has 1 replica",
					"n3": "the Deployment has 1 replica"}}},
		"as many replicas as nodes may share a node": {3,
			append(three, pod("a", "n1", "set"), pod("b", "n2", "set"), pod("c", "n2", "set")),
			where{Agents: []seen{{"a", "n1", ""}, {"b", "n2", ""}, {"c", "n2", ""}},
				Outside: map[string]string{"n3": "the Deployment's 3 replicas run on other nodes"}}},
		"a node with an agent that is not ready is not outside": {1,
			[]client.Object{node("n1"), pod("a", "n1", "set", unready)},
			where{Agents: []seen{{"a", "n1", "container agent is not ready"}}}},
		"a node says what keeps replicas out": {1,
			[]client.Object{node("n1"), node("n2", tainted("x", noSchedule)),
				node("n3", tainted(corev1.TaintNodeUnschedulable, noSchedule)), pod("a", "n1", "set")},
			where{Agents: []seen{{"a", "n1", ""}},
				Outside: map[string]string{"n2": notWished, "n3": "it is cordoned"}}},
		"a replica that goes on a node that is being removed is missed all the same": {1,
			[]client.Object{node("n1", deletedNode), pod("a", "n1", "set", terminating)},
			where{Agents: []seen{{"a", "n1", "pod is terminating"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := whereOf(snapshot(t, topology.Workload{Kind: topology.Deployment, Name: "agents"},
				append(deployment(c.replicas), c.objects...)...))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A quota, a Pod Security Standard or a webhook may refuse pods: the report has its words.
func TestAnAgentWithoutAPodSaysWhyTheAPIServerRefusedIt(t *testing.T) {
	const words = `pods "kdoctor-agent-x7k2p" is forbidden: exceeded quota: compute, requested: pods=1, limited: pods=2`
	event := func(name, reason, message string, of types.UID, ago time.Duration) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Reason: reason,
			Message: message, InvolvedObject: corev1.ObjectReference{Kind: "DaemonSet", UID: of},
			LastTimestamp: metav1.NewTime(time.Now().Add(-ago))}
	}
	set := daemonSet(1)
	for name, c := range map[string]struct {
		event *corev1.Event
		want  string
	}{
		"refused a minute ago": {event("a", "FailedCreate", "Error creating: "+words, set.UID, time.Minute),
			noAgent + "; the last one was refused: " + words},
		"refused yesterday": {event("a", "FailedCreate", "Error creating: "+words, set.UID, 24*time.Hour), noAgent},
		"another workload":  {event("a", "FailedCreate", "Error creating: "+words, "other", time.Minute), noAgent},
		"another event":     {event("a", "SuccessfulCreate", "Created pod: x", set.UID, time.Minute), noAgent},
	} {
		t.Run(name, func(t *testing.T) {
			got := whereOf(snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, set, node("n0"),
				c.event))
			if diff := cmp.Diff([]seen{{Node: "n0", NotReady: c.want}}, got.Agents,
				cmpopts.IgnoreFields(seen{}, "Pod")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
