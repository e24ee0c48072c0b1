package inventory_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

const policyGroup = "policy.networking.k8s.io"

// versions is a reader with the kinds of policies of the whole cluster that it has objects or errors for; it has no
// others.
type versions struct {
	client.Reader
	objects map[string][]unstructured.Unstructured
	errs    map[string]error
	asked   map[string]int
}

func (v *versions) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	kind := ""
	found, cluster := list.(*unstructured.UnstructuredList)
	if cluster {
		version := found.GroupVersionKind()
		kind = strings.TrimSuffix(version.Kind, "List") + " " + version.Version
	}
	if _, is := list.(*networkingv1.NetworkPolicyList); is {
		kind = "NetworkPolicy"
	}
	v.asked[kind]++
	if err := v.errs[kind]; err != nil {
		return err
	}
	if !cluster {
		return v.Reader.List(ctx, list, options...)
	}
	objects, has := v.objects[kind]
	if !has {
		return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: policyGroup, Kind: kind}}
	}
	found.Items = objects
	return nil
}

func forbidden(plural string) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: policyGroup, Resource: plural}, "", nil)
}

// policyCluster is a cluster of one agent with these objects.
func policyCluster(t *testing.T, objects ...client.Object) *versions {
	t.Helper()
	set := daemonSet(1)
	objects = append(objects, set, node("n0"), pod("a", "n0", set.UID),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{
			corev1.LabelMetadataName: namespace, "team": "net"}}})
	return &versions{Reader: reader(t, objects), objects: map[string][]unstructured.Unstructured{},
		errs: map[string]error{}, asked: map[string]int{}}
}

func (v *versions) has(t *testing.T, kind, text string) *versions {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	v.objects[kind] = append(v.objects[kind], unstructured.Unstructured{Object: object})
	return v
}

func policiesOf(t *testing.T, from *inventory.Inventory) topology.Policies {
	t.Helper()
	snapshot, err := from.Snapshot(t.Context(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.Policies
}

// restricting is a NetworkPolicy for the pods with the labels.
func restricting(name string, pods map[string]string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	spec.PodSelector.MatchLabels = pods
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
}

func TestNetworkPoliciesOfTheAgentsAreRead(t *testing.T) {
	udp, http, first, last := corev1.ProtocolUDP, intstr.FromString("http"), intstr.FromInt32(8000), int32(8100)
	prefix := netip.MustParsePrefix
	for name, c := range map[string]struct {
		spec networkingv1.NetworkPolicySpec
		want topology.Policy
	}{
		"one that admits nothing into pods": {networkingv1.NetworkPolicySpec{},
			topology.Policy{IsolatesIngress: true}},
		"one for both directions by its rules": {networkingv1.NetworkPolicySpec{
			Egress: []networkingv1.NetworkPolicyEgressRule{{}}}, topology.Policy{IsolatesIngress: true,
			IsolatesEgress: true, Egress: []topology.PolicyRule{{Action: topology.PolicyAdmits}}}},
		"one for egress alone": {networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{
				IPBlock: &networkingv1.IPBlock{CIDR: "198.19.0.0/16", Except: []string{"198.19.7.0/24"}}}}}}},
			topology.Policy{IsolatesEgress: true, Egress: []topology.PolicyRule{{Action: topology.PolicyAdmits,
				Peers: []topology.PolicyPeer{{Kind: topology.PeerNetworks,
					Networks: []netip.Prefix{prefix("198.19.0.0/16")},
					Except:   []netip.Prefix{prefix("198.19.7.0/24")}}}}}}},
		"peers and ports": {networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{
				{PodSelector: &metav1.LabelSelector{MatchLabels: labels()}},
				{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
					Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}}}},
				{NamespaceSelector: &metav1.LabelSelector{
					MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &http}, {Protocol: &udp}, {Port: &first, EndPort: &last}}}}},
			topology.Policy{IsolatesIngress: true, Ingress: []topology.PolicyRule{{Action: topology.PolicyAdmits,
				Peers: []topology.PolicyPeer{
					{Kind: topology.PeerPods, Groups: []int{0}}, {Kind: topology.PeerPods, Others: true},
					{Kind: topology.PeerPods, Groups: []int{0}}},
				Ports: []topology.PolicyPort{{Protocol: "TCP", Name: "http"}, {Protocol: "UDP"},
					{Protocol: "TCP", First: 8000, Last: 8100}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			v := policyCluster(t, restricting("p", labels(), c.spec), restricting("other",
				map[string]string{"app": "another"}, networkingv1.NetworkPolicySpec{}))
			got := policiesOf(t, inventory.New(v, namespace).WithLadder(
				inventory.Ladder{DNSNamespace: "kube-system"}))
			c.want.Kind, c.want.Namespace, c.want.Name = "NetworkPolicy", namespace, "p"
			c.want.Tier, c.want.Groups = topology.NamespaceTier, []int{0}
			want := topology.Policies{Read: true, Objects: []topology.Policy{c.want}, Groups: map[string]int{"a": 0}}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPoliciesOfTheWholeClusterAreReadWhereThereAreSome(t *testing.T) {
	v := policyCluster(t).has(t, "ClusterNetworkPolicy v1alpha2", `
metadata: {name: base}
spec:
  tier: Baseline
  priority: 7
  subject: {pods: {namespaceSelector: {matchLabels: {team: net}}, podSelector: {matchLabels: {app: agent}}}}
  egress:
  - action: Deny
    to: [{networks: [0.0.0.0/0]}, {nodes: {}}, {domainNames: [example.org]}]
    protocols: [{udp: {destinationPort: {number: 53}}}, {tcp: {destinationPort: {range: {start: 1, end: 9}}}},
      {tcp: {}}, {sctp: {}}, {destinationNamedPort: http}]`).has(t, "ClusterNetworkPolicy v1alpha2", `
metadata: {name: elsewhere}
spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {team: other}}}}`).has(t,
		"ClusterNetworkPolicy v1alpha2", `
metadata: {name: of-nothing}
spec: {tier: Admin, priority: 1}`).has(t, "AdminNetworkPolicy v1alpha1", `
metadata: {name: guard}
spec:
  priority: 5
  subject: {namespaces: {}}
  ingress:
  - action: Pass
    from: [{namespaces: {}}]
    ports: [{portNumber: {protocol: UDP, port: 53}}, {portRange: {start: 1, end: 9}}, {namedPort: http}]
  - action: Allow
    from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}]`).has(t,
		"BaselineAdminNetworkPolicy v1alpha1", `
metadata: {name: default}
spec: {subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`)
	got := policiesOf(t, inventory.New(v, namespace))
	pods := topology.PolicyPeer{Kind: topology.PeerPods, Groups: []int{0}, Others: true}
	want := []topology.Policy{
		{Kind: "AdminNetworkPolicy", Name: "guard", Tier: topology.AdminTier, Priority: 5,
			Groups: []int{0}, Ingress: []topology.PolicyRule{
				{Action: topology.PolicyPasses, Peers: []topology.PolicyPeer{pods}, Ports: []topology.PolicyPort{
					{Protocol: "UDP", First: 53, Last: 53}, {Protocol: "TCP", First: 1, Last: 9}, {Name: "http"}}},
				{Action: topology.PolicyAdmits, Peers: []topology.PolicyPeer{
					{Kind: topology.PeerPods, Others: true}}}}},
		{Kind: "BaselineAdminNetworkPolicy", Name: "default", Tier: topology.BaselineTier,
			Groups: []int{0}, Ingress: []topology.PolicyRule{{Action: topology.PolicyDenies,
				Peers: []topology.PolicyPeer{pods}}}},
		{Kind: "ClusterNetworkPolicy", Name: "base", Tier: topology.BaselineTier, Priority: 7, Groups: []int{0},
			Egress: []topology.PolicyRule{{Action: topology.PolicyDenies,
				Peers: []topology.PolicyPeer{{Kind: topology.PeerNetworks,
					Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, {Kind: topology.PeerNodes}, {}},
				Ports: []topology.PolicyPort{{Protocol: "UDP", First: 53, Last: 53},
					{Protocol: "TCP", First: 1, Last: 9}, {Protocol: "TCP"}, {Protocol: "SCTP"}, {Name: "http"}}}}},
	}
	if diff := cmp.Diff(want, got.Objects, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Read || len(got.Unread) > 0 || got.Omitted > 0 {
		t.Errorf("read %t, unread %q, omitted %d; want all of it read", got.Read, got.Unread, got.Omitted)
	}
}

func TestAnOlderOrNewerVersionOfAKindWillDo(t *testing.T) {
	v := policyCluster(t).has(t, "ClusterNetworkPolicy v1beta1", `
metadata: {name: later}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}`)
	if got := policiesOf(t, inventory.New(v, namespace)); len(got.Objects) != 1 || got.Objects[0].Name != "later" {
		t.Errorf("got %+v, want the object of v1beta1", got)
	}
}

// A kind that is not there, or that may not be read, is asked for again after ten minutes, and the log has one line
// about the second.
func TestKindsThatCannotBeReadAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const none, hidden = "BaselineAdminNetworkPolicy v1alpha1", "AdminNetworkPolicy v1alpha1"
		const broken = "NetworkPolicy"
		v := policyCluster(t)
		v.errs[hidden], v.errs[broken] = forbidden("adminnetworkpolicies"), apierrors.NewTimeoutError("late", 1)
		var lines []string
		logger := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
		from := inventory.New(v, namespace)
		workload := topology.Workload{Kind: topology.DaemonSet, Name: "agents"}
		for range 5 {
			snapshot, err := from.Snapshot(logr.NewContext(t.Context(), logger), workload)
			if err != nil {
				t.Fatal(err)
			}
			unread := strings.Join(snapshot.Policies.Unread, "\n")
			if snapshot.Policies.Read || len(snapshot.Policies.Unread) != 2 || !strings.Contains(unread,
				"the controller may not list adminnetworkpolicies.policy.networking.k8s.io") ||
				!strings.Contains(unread, "networkpolicies.networking.k8s.io could not be listed") {
				t.Errorf("unread %q, want the two kinds that could not be read", unread)
			}
		}
		if len(lines) != 2 {
			t.Errorf("the log has %q, want a line for each of the two kinds", lines)
		}
		if v.asked[none] != 1 || v.asked[hidden] != 1 || v.asked[broken] != 5 {
			t.Errorf("asked %v, want the absent and the forbidden kind once", v.asked)
		}
		time.Sleep(11 * time.Minute)
		delete(v.errs, hidden)
		v.objects[hidden] = nil
		delete(v.errs, broken)
		if got := policiesOf(t, from); !got.Read || len(got.Unread) > 0 || v.asked[none] != 2 || v.asked[hidden] != 2 {
			t.Errorf("%+v after %v, want all of it read again", got, v.asked)
		}
	})
}

func TestASnapshotHasABoundedNumberOfPolicies(t *testing.T) {
	var objects []client.Object
	for n := range topology.MostPolicies + 3 {
		objects = append(objects, restricting(fmt.Sprintf("p%03d", n), nil, networkingv1.NetworkPolicySpec{}))
	}
	got := policiesOf(t, inventory.New(policyCluster(t, objects...), namespace))
	if len(got.Objects) != topology.MostPolicies || got.Omitted != 3 || got.Objects[0].Name != "p000" {
		t.Errorf("%d objects from %s on and %d more, want %d from p000 on and 3 more", len(got.Objects),
			got.Objects[0].Name, got.Omitted, topology.MostPolicies)
	}
}

func TestPodsInTheHostNetworkAreNotRestricted(t *testing.T) {
	set := daemonSet(1)
	host := pod("b", "n0", set.UID, func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	objects := []client.Object{set, node("n0"), host, restricting("all", nil, networkingv1.NetworkPolicySpec{})}
	if got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, objects...); len(
		got.Policies.Objects)+len(got.Policies.Groups) > 0 || !got.Policies.Read {
		t.Errorf("got %+v, want that no object selects the pod", got.Policies)
	}
}

// A policy that somebody applied is named as the reason of what it denies.
func TestAPolicyOfTheClusterIsNamedByTheFindingAboutWhatItDenies(t *testing.T) {
	http := intstr.FromString("http")
	set := daemonSet(3)
	objects := []client.Object{set, restricting("web", labels(), networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}}}})}
	for _, n := range []string{"0", "1", "2"} {
		objects = append(objects, node("n"+n), pod("a"+n, "n"+n, set.UID, func(p *corev1.Pod) {
			p.Status.PodIPs = []corev1.PodIP{{IP: "198.19.0." + n}}
		}))
	}
	s := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents"}, objects...)
	var seen []ladder.Observation
	for _, sender := range ladder.Plan(s, ladder.Options{Families: []topology.Family{topology.IPv4}}) {
		for _, p := range sender.Probes {
			o := p.Of
			o.Sent, o.Answered, o.Passes = 3, 3, 3
			if o.Rung == ladder.PodToPod && o.Method == ladder.UDP {
				o.Answered, o.FailedPasses, o.Failures = 0, 3, map[ladder.Failure]uint64{ladder.NoAnswer: 3}
			}
			seen = append(seen, o)
		}
	}
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	if len(found) != 1 || found[0].Cause != "NetworkPolicyObject" || found[0].Where != "all nodes" ||
		!strings.Contains(found[0].Message, "NetworkPolicy kdoctor/web does not admit UDP port 8080") {
		t.Errorf("found %+v, want the policy alone", found)
	}
}
