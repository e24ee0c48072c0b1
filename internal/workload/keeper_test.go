package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

// stage is a keeper at work on an API server in memory that has the default agents.
type stage struct {
	*Keeper
	api client.Client
}

func newStage(t *testing.T, objects ...client.Object) stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects = append(objects, standardSet(), dualStack(corev1.IPv4Protocol, corev1.IPv6Protocol))
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return stage{Keeper: NewKeeper(Config{Client: api, Namespace: namespace, Manifests: manifests(),
		DualStack: "kdoctor-controller",
		Owner: metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "kdoctor-controller",
			UID: "c"},
		HostPorts: Range{First: 21000, Last: 21008}, FieldOwner: "kdoctor-controller"}), api: api}
}

func (s stage) ensure(t *testing.T, wish DesiredAgents) RolloutStatus {
	t.Helper()
	standing, err := s.Ensure(t.Context(), wish)
	if err != nil {
		t.Fatal(err)
	}
	return standing
}

// there lists what belongs to tasks, as "Kind name", sorted, with how often it was written.
func (s stage) there(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for kind, list := range map[string]client.ObjectList{"DaemonSet": &appsv1.DaemonSetList{},
		"Deployment": &appsv1.DeploymentList{},
		"Service":    &corev1.ServiceList{}, "Ingress": &networkingv1.IngressList{}} {
		if err := s.api.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := meta.EachListItem(list, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			if err == nil && strings.HasPrefix(object.GetName(), "kdoctor-netreach-") {
				found[kind+" "+object.GetName()] = object.GetResourceVersion()
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func namesIn(found map[string]string) []string {
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s stage) check(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, namesIn(s.there(t))); diff != "" {
		t.Errorf("there is (-want +got):\n%s", diff)
	}
}

const (
	set      = "DaemonSet kdoctor-netreach-t"
	deployed = "Deployment kdoctor-netreach-t"
	way      = "Ingress kdoctor-netreach-t-ipv4"
	front4   = "Service kdoctor-netreach-t-ipv4"
	front6   = "Service kdoctor-netreach-t-ipv6"
)

func TestAgentsAreMadeOnceAndChangedOnlyWhenAskedTo(t *testing.T) {
	s := newStage(t)
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	if standing := s.ensure(t, wish); !standing.Made || standing.Whole {
		t.Errorf("after the first call: %+v, want it made and not ready", standing)
	}
	s.check(t, set, way, front4, front6)
	if standing := s.ensure(t, wish); standing.Made {
		t.Error("the second call made something again")
	}
	wish.Spec.Annotation = map[string]string{"a": "b"}
	if standing := s.ensure(t, wish); !standing.Made {
		t.Error("an edit changed nothing")
	}
	var applied appsv1.DaemonSet
	if err := s.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kdoctor-netreach-t"},
		&applied); err != nil {
		t.Fatal(err)
	}
	if applied.Spec.Template.Annotations["a"] != "b" || ownerOf(&applied) != wish.Task ||
		len(applied.OwnerReferences) != 1 || applied.OwnerReferences[0].UID != "c" {
		t.Errorf("%+v; want the annotation, the task's name, and the installation as owner", applied.ObjectMeta)
	}
	var service corev1.Service
	if err := s.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kdoctor-netreach-t-ipv4"},
		&service); err != nil {
		t.Fatal(err)
	}
	if owner := metav1.GetControllerOf(&service); owner == nil || owner.UID != applied.UID ||
		owner.Kind != topology.DaemonSet {
		t.Errorf("the Service's owner is %+v, want the workload", owner)
	}
}

func TestHowManyCallsItTakes(t *testing.T) {
	s := newStage(t)
	var lists, gets, writes int
	s.Client = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			lists++
			return c.List(ctx, list, o...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object,
			o ...client.GetOption) error {
			gets++
			return c.Get(ctx, key, object, o...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration,
			o ...client.ApplyOption) error {
			writes++
			return c.Apply(ctx, object, o...)
		},
	})
	for _, spec := range []v1beta1.AgentSpec{{}, {HostNetwork: true}} {
		wish := wishFor("t", "task", spec)
		for s.ensure(t, wish).Made {
		}
		lists, gets, writes = 0, 0, 0
		s.ensure(t, wish)
		if lists != 5 || gets != 0 || writes != 4 {
			t.Errorf("%+v: where nothing is to be done, %d lists, %d objects and %d writes; want 5 lists and 4 writes",
				spec, lists, gets, writes)
		}
	}
	lists = 0
	if err := s.Remove(t.Context(), wishFor("t", "task", v1beta1.AgentSpec{})); err != nil || lists != 4 || gets != 0 {
		t.Errorf("to remove all takes %d lists and %d objects, %v; want 4 lists", lists, gets, err)
	}
}

func TestNobodyWaitsForPortsLongerThanItMay(t *testing.T) {
	s := newStage(t)
	s.choosing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ensure(ctx, wishFor("t", "task", v1beta1.AgentSpec{HostNetwork: true})); !errors.Is(err,
		context.Canceled) || Refused(err) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestANewMakeOfTheDefaultAgentsReachesTheOthers(t *testing.T) {
	s := newStage(t)
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	s.ensure(t, wish)
	s.Manifests.DaemonSet.Spec.Template.Spec.Containers[0].Image = "kdoctor/agent:0.2.0"
	if !s.ensure(t, wish).Made {
		t.Error("the image stays the old one")
	}
}

func TestWhatIsNoLongerWantedIsRemoved(t *testing.T) {
	s := newStage(t)
	s.ensure(t, wishFor("t", "task", v1beta1.AgentSpec{}))
	s.ensure(t, wishFor("t", "task", v1beta1.AgentSpec{Kind: topology.Deployment}))
	s.check(t, deployed, way, front4, front6)
	wish := wishFor("t", "task", v1beta1.AgentSpec{Kind: topology.Deployment})
	wish.Names.Ingress, wish.Ingress = "", false
	s.ensure(t, wish)
	s.check(t, deployed, front4, front6)
	only := standard()
	only.Services = []string{"kdoctor-agent-ipv6"}
	wish.Names = Names("NetReach", "t", topology.Deployment, only, false)
	s.ensure(t, wish)
	s.check(t, deployed, front6)
	if err := s.Remove(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	s.check(t)
	if err := s.Remove(t.Context(), wish); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func TestAgentsOfOthersAreLeftAlone(t *testing.T) {
	yes := true
	owned := func(kind, name, uid string) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-netreach-t",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: kind, Name: name, UID: types.UID(uid),
				Controller: &yes}}}}
	}
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	cases := []struct {
		name  string
		there client.Object
	}{
		{"a DaemonSet that somebody made",
			&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-netreach-t"}}},
		{"a DaemonSet of something else", owned("Other", "t", "x")},
		{"a DaemonSet of another task", owned("NetReach", "other", "x")},
		{"a Service that somebody made",
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-netreach-t-ipv4"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.there)
			if _, err := s.Ensure(t.Context(), wish); !errors.Is(err, errStranger) || !Refused(err) {
				t.Errorf("error %v, want it refused", err)
			}
			if err := s.Remove(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
			if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(c.there), c.there); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
	t.Run("those of a task that had the name before make room", func(t *testing.T) {
		s := newStage(t, owned("NetReach", "t", "before"))
		if standing := s.ensure(t, wish); standing.Made {
			t.Error("the agents were made while the others were there")
		}
		if standing := s.ensure(t, wish); !standing.Made {
			t.Error("the agents were not made after that")
		}
	})
}

func TestHostPortsAreThoseThatNobodyHas(t *testing.T) {
	taken := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other"}}
	taken.Spec.Template.Spec.HostNetwork = true
	taken.Spec.Template.Spec.Containers = []corev1.Container{{Name: "x",
		Ports: []corev1.ContainerPort{{ContainerPort: 21004}}}}
	s := newStage(t, taken)
	portsFor := func(task, uid string) (Ports, error) {
		wish := wishFor(task, uid, v1beta1.AgentSpec{HostNetwork: true})
		if _, err := s.Ensure(t.Context(), wish); err != nil {
			return Ports{}, err
		}
		var set appsv1.DaemonSet
		err := s.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: wish.Names.Name}, &set)
		return portsOf(set.Spec.Template.Spec), err
	}
	first, err1 := portsFor("a", "1")
	second, err2 := portsFor("b", "2")
	again, err3 := portsFor("a", "1")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	got := []int32{first.HTTP, second.HTTP}
	slices.Sort(got)
	if !slices.Equal(got, []int32{21000, 21006}) || first != again {
		t.Errorf("ports %v, %v and %v again; want 21000 and 21006, and no change", first, second, again)
	}
	if _, err := portsFor("c", "3"); !errors.Is(err, errNoPorts) || !Refused(err) {
		t.Errorf("a third task: %v, want a refusal", err)
	}
}

func TestHowTheAgentsStand(t *testing.T) {
	ready := func(name string, since int64) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			Labels: map[string]string{nameLabel: "kdoctor-netreach-t"}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady,
				Status: corev1.ConditionTrue, LastTransitionTime: metav1.Unix(since, 0)}}}}
	}
	s := newStage(t, ready("p1", 100), ready("p2", 200))
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	s.ensure(t, wish)
	var applied appsv1.DaemonSet
	var service corev1.Service
	var ingress networkingv1.Ingress
	at := func(name string) client.ObjectKey { return client.ObjectKey{Namespace: namespace, Name: name} }
	if err := s.api.Get(t.Context(), at("kdoctor-netreach-t"), &applied); err != nil {
		t.Fatal(err)
	}
	applied.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, NumberReady: 2, UpdatedNumberScheduled: 1}
	if err := s.api.Status().Update(t.Context(), &applied); err != nil {
		t.Fatal(err)
	}
	want := RolloutStatus{Wanted: 2, Ready: 1, Since: time.Unix(200, 0),
		Missing: []string{"Service kdoctor-netreach-t-ipv4 has no load balancer address yet",
			"Service kdoctor-netreach-t-ipv6 has no load balancer address yet",
			"Ingress kdoctor-netreach-t-ipv4 has no address yet"}}
	if diff := cmp.Diff(want, s.ensure(t, wish)); diff != "" {
		t.Errorf("one of two is of the newest make (-want +got):\n%s", diff)
	}
	if err := s.api.Get(t.Context(), at("kdoctor-netreach-t"), &applied); err != nil {
		t.Fatal(err)
	}
	applied.Status.UpdatedNumberScheduled = 2
	err1 := s.api.Get(t.Context(), at("kdoctor-netreach-t-ipv4"), &service)
	err2 := s.api.Get(t.Context(), at("kdoctor-netreach-t-ipv4"), &ingress)
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.18.1.2"}}
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "198.18.0.4"}}
	if err := errors.Join(err1, err2, s.api.Status().Update(t.Context(), &applied),
		s.api.Status().Update(t.Context(), &service), s.api.Status().Update(t.Context(), &ingress)); err != nil {
		t.Fatal(err)
	}
	wish.Families = []topology.Family{topology.IPv4}
	if diff := cmp.Diff(RolloutStatus{Wanted: 2, Ready: 2, Whole: true, Since: time.Unix(200, 0)},
		s.ensure(t, wish)); diff != "" {
		t.Errorf("all are there, and nobody probes IPv6 (-want +got):\n%s", diff)
	}
	if err := s.api.Get(t.Context(), at("kdoctor-netreach-t"), &applied); err != nil {
		t.Fatal(err)
	}
	applied.Status = appsv1.DaemonSetStatus{}
	if err := s.api.Status().Update(t.Context(), &applied); err != nil {
		t.Fatal(err)
	}
	if s.ensure(t, wish).Whole {
		t.Error("no agents of none are all of them")
	}
}

func TestWhichErrorsStay(t *testing.T) {
	resource := schema.GroupResource{Group: "apps", Resource: "daemonsets"}
	for err, want := range map[error]bool{
		apierrors.NewForbidden(resource, "x", errors.New("exceeded quota")): true,
		apierrors.NewBadRequest("the admission webhook says no"):            true,
		apierrors.NewNotFound(resource, "kdoctor-agent"):                    true,
		apierrors.NewConflict(resource, "x", errors.New("changed")):         false,
		apierrors.NewTooManyRequests("slow down", 1):                        false,
		apierrors.NewInternalError(errors.New("etcd")):                      false,
		apierrors.NewServiceUnavailable("starting"):                         false,
		errors.New("connection refused"):                                    false,
	} {
		if got := Refused(fmt.Errorf("apply: %w", err)); got != want {
			t.Errorf("%v: %t, want %t", err, got, want)
		}
	}
	if Refused(nil) {
		t.Error("no error is a refusal")
	}
}
