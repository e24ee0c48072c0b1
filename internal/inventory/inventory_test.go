package inventory_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

const namespace = "kdoctor"

func labels() map[string]string { return map[string]string{"app": "agent"} }

func daemonSet(desired int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agents", UID: "workload"},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels()}},
		Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: desired},
	}
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name,
		Labels: map[string]string{corev1.LabelTopologyZone: "zone-" + name}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, c := range change {
		c(n)
	}
	return n
}

// pod is a ready agent on the node, controlled by the owner.
func pod(name, node string, owner types.UID, change ...func(*corev1.Pod)) *corev1.Pod {
	controller := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), Labels: labels(),
			OwnerReferences: []metav1.OwnerReference{{UID: owner, Controller: &controller}}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "agent",
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080},
				{Name: "control", ContainerPort: 5710}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			PodIPs:     []corev1.PodIP{{IP: "198.19.0.2"}, {IP: "fd98:19::2"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: phase} }
}

func unready(p *corev1.Pod) {
	p.Status.Conditions = nil
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent"}}
}

func waiting(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}
	}
}

func terminating(p *corev1.Pod) {
	p.DeletionTimestamp = &metav1.Time{Time: time.Unix(100, 0)}
	p.Finalizers = []string{"test/keep"}
}

func created(second int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.Unix(second, 0) }
}

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: key, Effect: effect}} }
}

func notReadyNode(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }

func unscheduled(p *corev1.Pod) {
	p.Spec.NodeName = ""
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
			Message: "0/1 nodes are available."}}}
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}}}}}}}}
}

func reader(t *testing.T, objects []client.Object) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		objects...).WithStatusSubresource().
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string {
			event, _ := o.(*corev1.Event)
			return []string{string(event.InvolvedObject.UID)}
		}).
		WithIndex(&corev1.Event{}, "reason", func(o client.Object) []string {
			event, _ := o.(*corev1.Event)
			return []string{event.Reason}
		}).
		WithIndex(&corev1.Namespace{}, "metadata.name", func(o client.Object) []string {
			return []string{o.GetName()}
		}).Build()
}

// seen is what the cases about agents look at.
type seen struct{ Pod, Node, NotReady string }

func TestAgentsOfADaemonSet(t *testing.T) {
	selecting := func(desired int32, change func(*corev1.PodSpec)) *appsv1.DaemonSet {
		d := daemonSet(desired)
		change(&d.Spec.Template.Spec)
		return d
	}
	const none = "no agent pod runs on the node"
	cases := []struct {
		name    string
		objects []client.Object
		want    []seen
	}{
		{"ready pods are sorted by node, then name",
			[]client.Object{daemonSet(2), node("n1"), node("n2"), pod("a", "n2", "workload"),
				pod("b", "n1", "workload")},
			[]seen{{"b", "n1", ""}, {"a", "n2", ""}}},
		{"a stranger's pod with the same labels does not count",
			[]client.Object{daemonSet(0), node("n1"), pod("a", "n1", "stranger")},
			[]seen{{"(none on n1)", "n1", none}}},
		{"a pod of another namespace does not count", []client.Object{daemonSet(0), node("n1"),
			pod("a", "n1", "workload", func(p *corev1.Pod) { p.Namespace = "other" })},
			[]seen{{"(none on n1)", "n1", none}}},
		{"a pending pod names what its container waits for", []client.Object{daemonSet(1), node("n1"),
			pod("a", "n1", "workload", phase(corev1.PodPending), waiting("ErrImagePull"))},
			[]seen{{"a", "n1", "pod is Pending: container agent is not ready: ErrImagePull"}}},
		{"a pod that cannot be scheduled stands on the node it was made for",
			[]client.Object{daemonSet(1), node("n1"), pod("a", "n1", "workload", unscheduled)},
			[]seen{{"a", "n1", "pod is Pending: Unschedulable: 0/1 nodes are available"}}},
		{"a running container that is not ready is named",
			[]client.Object{daemonSet(1), node("n1"), pod("a", "n1", "workload", unready)},
			[]seen{{"a", "n1", "container agent is not ready"}}},
		{"a crash loop is named",
			[]client.Object{daemonSet(1), node("n1"), pod("a", "n1", "workload", unready, waiting("CrashLoopBackOff"))},
			[]seen{{"a", "n1", "container agent is not ready: CrashLoopBackOff"}}},
		{"a pod that is not ready on a node that is not either blames the node",
			[]client.Object{daemonSet(1), node("n1", notReadyNode), pod("a", "n1", "workload", unready)},
			[]seen{{"a", "n1", "node n1 is NotReady"}}},
		{"a ready pod on a node that is not ready takes part",
			[]client.Object{daemonSet(1), node("n1", notReadyNode), pod("a", "n1", "workload")},
			[]seen{{"a", "n1", ""}}},
		{"a ready pod without ports cannot take part", []client.Object{daemonSet(1), node("n1"),
			pod("a", "n1", "workload", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil })},
			[]seen{{"a", "n1", "pod has no container ports named http and control"}}},
		{"a terminating pod without a replacement still speaks for its node",
			[]client.Object{daemonSet(1), node("n1"), pod("a", "n1", "workload", terminating)},
			[]seen{{"a", "n1", "pod is terminating"}}},
		{"terminating, failed and succeeded pods give way to their replacement",
			[]client.Object{daemonSet(1), node("n1"), pod("a", "n1", "workload", terminating),
				pod("b", "n1", "workload", phase(corev1.PodFailed)),
				pod("c", "n1", "workload", phase(corev1.PodSucceeded)), pod("d", "n1", "workload")},
			[]seen{{"d", "n1", ""}}},
		{"of two failed pods on a node only the newest counts", []client.Object{daemonSet(1), node("n1"),
			pod("b", "n1", "workload", phase(corev1.PodFailed), created(1)),
			pod("a", "n1", "workload", phase(corev1.PodFailed), created(2))},
			[]seen{{"a", "n1", "pod is Failed"}}},
		{"a node that ought to have a pod and has none is an agent all the same",
			[]client.Object{daemonSet(2), node("n1"), node("n2"), pod("a", "n1", "workload")},
			[]seen{{"a", "n1", ""}, {"(none on n2)", "n2", none}}},
		{"a node with a taint that nobody tolerates is not missed",
			[]client.Object{daemonSet(2), node("n1"), node("n2"),
				node("n3", tainted("dedicated", corev1.TaintEffectNoSchedule)), pod("a", "n1", "workload")},
			[]seen{{"a", "n1", ""}, {"(none on n2)", "n2", none}}},
		{"a node that is cordoned or unreachable is missed", []client.Object{daemonSet(2),
			node("n1", tainted(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)),
			node("n2", tainted(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute))},
			[]seen{{"(none on n1)", "n1", none}, {"(none on n2)", "n2", none}}},
		{"a node with a taint that the template tolerates is missed", []client.Object{
			selecting(1, func(s *corev1.PodSpec) {
				s.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			}),
			node("n1", tainted("dedicated", corev1.TaintEffectNoExecute))},
			[]seen{{"(none on n1)", "n1", none}}},
		{"a node that the template does not select is not missed", []client.Object{
			selecting(1, func(s *corev1.PodSpec) {
				s.NodeSelector = map[string]string{corev1.LabelTopologyZone: "zone-n2"}
			}), node("n1"), node("n2")},
			[]seen{{"(none on n2)", "n2", none}}},
		{"what the DaemonSet wants beyond the nodes we can name is not lost", []client.Object{daemonSet(2), node("n1")},
			[]seen{{"(none on unknown node 2)", "", "no agent pod runs on a node that the DaemonSet wants"},
				{"(none on n1)", "n1", none}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			runtime := topology.Workload{Kind: topology.DaemonSet, Name: "agents"}
			checkAgents(t, runtime, c.objects, c.want)
		})
	}
}

func TestAgentsOfADeployment(t *testing.T) {
	controller, replicas := true, int32(2)
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agents",
		UID: "workload"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels()}}}
	set := func(name string, owner types.UID) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name),
			Labels:          labels(),
			OwnerReferences: []metav1.OwnerReference{{UID: owner, Controller: &controller}}}}
	}
	base := []client.Object{deployment, set("new", "workload"), set("old", "workload"), set("foreign", "stranger"),
		node("n1"), node("n2")}
	cases := []struct {
		name string
		pods []client.Object
		want []seen
	}{
		{"pods of all its replica sets count and a stranger's do not",
			[]client.Object{pod("a", "n1", "new"), pod("b", "n1", "old"), pod("c", "n1", "foreign")},
			[]seen{{"a", "n1", ""}, {"b", "n1", ""}}},
		{"a pod that was replaced on another node is left out",
			[]client.Object{pod("a", "n1", "new"), pod("b", "n2", "new"), pod("c", "n1", "old", terminating)},
			[]seen{{"a", "n1", ""}, {"b", "n2", ""}}},
		{"replicas that do not exist are missed", []client.Object{pod("a", "n1", "new")},
			[]seen{{"(none for replica 2)", "", "no agent pod exists: the Deployment wants 2 and has 1"},
				{"a", "n1", ""}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			runtime := topology.Workload{Kind: topology.Deployment, Name: "agents"}
			checkAgents(t, runtime, append(append([]client.Object{}, base...), c.pods...), c.want)
		})
	}
}

func checkAgents(t *testing.T, runtime topology.Workload, objects []client.Object, want []seen) {
	t.Helper()
	snapshot, err := inventory.New(reader(t, objects), namespace).Snapshot(context.Background(), runtime)
	if err != nil {
		t.Fatal(err)
	}
	var got []seen
	for _, a := range snapshot.Agents {
		got = append(got, seen{a.Pod, a.Node, a.NotReady})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

func addresses(texts ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

func TestAWholeSnapshot(t *testing.T) {
	address := func(n *corev1.Node) {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n1"},
			{Type: corev1.NodeExternalIP, Address: "198.18.9.9"},
			{Type: corev1.NodeInternalIP, Address: "198.18.0.10"}, {Type: corev1.NodeInternalIP, Address: "fd98:18::a"}}
	}
	second := func(p *corev1.Pod) {
		p.Annotations = map[string]string{"k8s.v1.cni.cncf.io/network-status": `[{"name":"lab","ips":["198.19.0.2"],"default":true},
			{"name":"net1","interface":"net1","ips":["198.18.64.10","fd98:64::10"]}]`}
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "four"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIPs: []string{"198.18.128.7"},
			Ports: []corev1.ServicePort{{Name: "other", Port: 81}, {Name: "http", Port: 80, NodePort: 30080}}},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "198.18.1.1"}, {Hostname: "lb.example"}, {}}}}}
	headless := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "headless"},
		Spec: corev1.ServiceSpec{ClusterIP: "None", ClusterIPs: []string{"None"},
			IPFamilies: []corev1.IPFamily{"IPv6", "IPv4"}, Ports: []corev1.ServicePort{{Name: "web", Port: 80}}}}
	exact, local := networkingv1.PathTypeExact, corev1.ServiceInternalTrafficPolicyLocal
	policies := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "policies"},
		Spec: corev1.ServiceSpec{ClusterIP: "198.18.128.8",
			InternalTrafficPolicy: &local, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports: []corev1.ServicePort{{Port: 80}}}}
	path := networkingv1.HTTPIngressPath{Path: "/kdoctoragent", PathType: &exact,
		Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "four"}}}
	entries := []networkingv1.IngressLoadBalancerIngress{{IP: "198.18.0.3", Hostname: "in.example"},
		{Hostname: "no name"}, {Hostname: "198.18.0.4"}}
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "in"},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "h.example",
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{path}}}}}},
		Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: entries}}}
	objects := []client.Object{daemonSet(1), node("n1", address), node("m", notReadyNode),
		pod("a", "n1", "workload", second), service, headless, policies, ingress}
	runtime := topology.Workload{Kind: topology.DaemonSet, Name: "agents",
		Services: []string{"headless", "policies", "gone", "four"}, Ingress: "in"}
	got, err := inventory.New(reader(t, objects), namespace).Snapshot(context.Background(), runtime)
	if err != nil {
		t.Fatal(err)
	}
	if got.Taken.IsZero() {
		t.Error("the snapshot does not tell when it was taken")
	}
	want := topology.Snapshot{
		Policies: topology.Policies{Read: true},
		Agents: []topology.Agent{{Pod: "(none on m)", Node: "m", NotReady: "no agent pod runs on the node"},
			{Pod: "a", Namespace: namespace, UID: "a", Node: "n1", Addresses: addresses("198.19.0.2", "fd98:19::2"),
				Interfaces: []topology.Interface{{Network: "net1", Name: "net1",
					Addresses: addresses("198.18.64.10", "fd98:64::10")}}, HTTPPort: 8080, ControlPort: 5710}},
		Nodes: []topology.Node{{Name: "m", Zone: "zone-m", NotReady: true},
			{Name: "n1", Zone: "zone-n1", Addresses: addresses("198.18.0.10", "fd98:18::a", "198.18.9.9"),
				External: addresses("198.18.9.9")}},
		Services: []topology.Service{
			{Namespace: namespace, Name: "four", ClusterIPs: addresses("198.18.128.7"), Port: 80, NodePort: 30080,
				LoadBalancer: true,
				Ingress:      []topology.Entry{{Address: netip.MustParseAddr("198.18.1.1")}, {Hostname: "lb.example"}}},
			{Namespace: namespace, Name: "headless", Port: 80,
				Headless: []topology.Family{topology.IPv6, topology.IPv4}},
			{Namespace: namespace, Name: "policies", Port: 80, ClusterIPs: addresses("198.18.128.8"),
				InternalLocal: true, ExternalLocal: true},
		},
		Ingresses: []topology.Ingress{{Namespace: namespace, Name: "in",
			Rules: []topology.Rule{{Host: "h.example", Path: "/kdoctoragent"}},
			Entries: []topology.Entry{{Address: netip.MustParseAddr("198.18.0.3")}, {Hostname: "in.example"},
				{Address: netip.MustParseAddr("198.18.0.4")}}}},
	}
	options := cmp.Options{cmpopts.IgnoreFields(topology.Snapshot{}, "Taken"),
		cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestARuntimeThatDoesNotExist(t *testing.T) {
	runtime := topology.Workload{Kind: topology.DaemonSet, Name: "gone", Ingress: "gone", Services: []string{"gone"}}
	if _, err := inventory.New(reader(t, nil), namespace).Snapshot(context.Background(),
		runtime); !apierrors.IsNotFound(err) {
		t.Errorf("a workload that does not exist gave %v, not a NotFound error", err)
	}
	runtime.Name = "agents"
	snapshot, err := inventory.New(reader(t, []client.Object{daemonSet(0)}), namespace).Snapshot(context.Background(),
		runtime)
	if err != nil || snapshot.Services != nil || snapshot.Ingresses != nil {
		t.Errorf("a Service and an Ingress that do not exist gave %v, %v, %v; they are to be left out",
			snapshot.Services, snapshot.Ingresses, err)
	}
}

func TestEveryNodeCounts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		want   topology.Node
	}{
		"one without an agent": {func(*corev1.Node) {}, topology.Node{}},
		"one that is cordoned": {func(n *corev1.Node) { n.Spec.Unschedulable = true },
			topology.Node{Cordoned: true}},
		"one with a taint": {tainted("dedicated", corev1.TaintEffectNoExecute),
			topology.Node{Outside: "its taint dedicated:NoExecute is not tolerated"}},
		"one that is not ready": {notReadyNode, topology.Node{NotReady: true}},
		"one that tells of no state": {func(n *corev1.Node) { n.Status.Conditions = nil },
			topology.Node{NotReady: true}},
		"one whose address is no text": {func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "?"}}
		}, topology.Node{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Name, c.want.Zone = "n", "zone-n"
			got, err := inventory.New(reader(t, []client.Object{daemonSet(0), node("n", c.change)}), namespace).
				Snapshot(t.Context(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]topology.Node{c.want}, got.Nodes); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
		})
	}
}
