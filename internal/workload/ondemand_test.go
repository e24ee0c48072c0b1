package workload

import (
	"errors"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

func (s stage) service(t *testing.T, name string) (corev1.Service, bool) {
	t.Helper()
	var found corev1.Service
	err := s.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &found)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return found, err == nil
}

// ingress reports whether the default agents have an Ingress.
func (s stage) ingress(t *testing.T) bool {
	t.Helper()
	var ingress networkingv1.Ingress
	err := s.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kdoctor-agent"}, &ingress)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

func everyFamily() []topology.Family { return []topology.Family{topology.IPv4, topology.IPv6} }

func TestNothingPublicStandsInFrontOfTheDefaultAgentsUntilItIsAskedFor(t *testing.T) {
	s := newStage(t)
	if _, err := s.Standard(t.Context()); !errors.Is(err, ErrNotYet) {
		t.Errorf("before anything was made: %v, want ErrNotYet", err)
	}
	if _, err := s.EnsureStandard(t.Context(), Demand{}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.service(t, "kdoctor-agent-ipv4")
	if before.Spec.Type != corev1.ServiceTypeNodePort || len(before.Annotations) > 0 || s.ingress(t) {
		t.Errorf("an installation that nobody asks for anything has %+v and an Ingress: %t", before, s.ingress(t))
	}
	status, err := s.EnsureStandard(t.Context(), Demand{LoadBalancer: []topology.Family{topology.IPv4}, Ingress: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Service kdoctor-agent-ipv4 has no load balancer address yet",
		"Ingress kdoctor-agent has no address yet"}
	if diff := cmp.Diff(want, status.Missing); diff != "" || !status.Made || time.Since(status.Asked) > time.Minute {
		t.Errorf("made: %t, asked %s; missing (-want +got):\n%s", status.Made, status.Asked, diff)
	}
	made, _ := s.service(t, "kdoctor-agent-ipv4")
	if made.Spec.Type != corev1.ServiceTypeLoadBalancer || made.Annotations["metallb.io/address-pool"] != "lab" ||
		!cmp.Equal(made.Spec.Selector, standardLabels()) || len(made.OwnerReferences) != 1 ||
		made.OwnerReferences[0].UID != "standard" || made.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("made was %+v", made)
	}
	if other, _ := s.service(t, "kdoctor-agent-ipv6"); other.Spec.Type != corev1.ServiceTypeNodePort {
		t.Errorf("for a family that nobody probes there is a Service of type %s", other.Spec.Type)
	}
	made.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}
	if err := s.api.Status().Update(t.Context(), &made); err != nil {
		t.Fatal(err)
	}
	status, err = s.EnsureStandard(t.Context(), Demand{LoadBalancer: []topology.Family{topology.IPv4}})
	if err != nil || status.Made || len(status.Missing) > 0 {
		t.Errorf("with its address: %+v, %v", status, err)
	}
}

func TestTheFamiliesAreThoseOfTheCluster(t *testing.T) {
	for name, c := range map[string]struct {
		cluster   []corev1.IPFamily
		four, six Use
		want      []string
		isRefused bool
	}{
		"both":                   {[]corev1.IPFamily{"IPv6", "IPv4"}, Auto, Auto, []string{"-ipv4", "-ipv6"}, false},
		"IPv4 alone":             {[]corev1.IPFamily{"IPv4"}, Auto, Auto, []string{"-ipv4"}, false},
		"IPv6 alone":             {[]corev1.IPFamily{"IPv6"}, "", "", []string{"-ipv6"}, false},
		"one that is not wanted": {[]corev1.IPFamily{"IPv4", "IPv6"}, Auto, No, []string{"-ipv4"}, false},
		"one that must be there": {[]corev1.IPFamily{"IPv4"}, Auto, Yes, []string{"-ipv4", "-ipv6"}, false},
		"none that is left":      {[]corev1.IPFamily{"IPv4"}, No, Auto, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			if err := s.api.Update(t.Context(), dualStack(c.cluster...)); err != nil {
				t.Fatal(err)
			}
			s.IPv4, s.IPv6 = c.four, c.six
			_, err := s.EnsureStandard(t.Context(), Demand{})
			if (err != nil) != c.isRefused {
				t.Fatal(err)
			}
			var got []string
			for _, suffix := range []string{"-ipv4", "-ipv6"} {
				if _, there := s.service(t, "kdoctor-agent"+suffix); there {
					got = append(got, suffix)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Services (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatNoTaskAsksForGoesAfterAWhile(t *testing.T) {
	s := newStage(t)
	all := Demand{LoadBalancer: everyFamily(), Ingress: true}
	ensure := func(want Demand) {
		t.Helper()
		if _, err := s.EnsureStandard(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	ensure(all)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	release := func(want Demand, after time.Duration) {
		t.Helper()
		if err := s.ReleaseStandard(t.Context(), want, 10*time.Minute, now.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	there := func() (names []string) {
		for _, name := range []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"} {
			if service, _ := s.service(t, name); service.Spec.Type == corev1.ServiceTypeLoadBalancer {
				names = append(names, name)
			}
		}
		if s.ingress(t) {
			names = append(names, "the Ingress")
		}
		return names
	}
	release(all, 0)
	release(Demand{}, time.Minute)
	ensure(Demand{}) // what a look at the Services in between does
	release(Demand{}, 10*time.Minute)
	if got := there(); len(got) != 3 {
		t.Errorf("after nine minutes there is %v, want all", got)
	}
	// Somebody asks for one of them again: its time begins again.
	ensure(Demand{LoadBalancer: []topology.Family{topology.IPv6}})
	release(Demand{}, 11*time.Minute)
	if got := there(); !slices.Equal(got, []string{"kdoctor-agent-ipv6"}) {
		t.Errorf("after ten minutes there is %v, want what was asked for meanwhile", got)
	}
	release(Demand{}, 20*time.Minute)
	release(Demand{}, 21*time.Minute)
	if got := there(); len(got) > 0 {
		t.Errorf("there is still %v", got)
	}
	left, is := s.service(t, "kdoctor-agent-ipv4")
	if !is || left.Spec.Type != corev1.ServiceTypeNodePort || left.Annotations[askedAnnotation] != "" ||
		left.Annotations["metallb.io/address-pool"] != "" {
		t.Errorf("left of the Service is %+v", left)
	}
}

func TestWhereTheInstallationMayHaveNoLoadBalancerNoneIsMade(t *testing.T) {
	s := newStage(t)
	s.Manifests.LoadBalancer, s.NoLoadBalancer = nil, "the value is Never"
	if _, err := s.EnsureStandard(t.Context(), Demand{LoadBalancer: everyFamily()}); err != nil {
		t.Fatal(err)
	}
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	s.ensure(t, wish)
	for _, name := range []string{"kdoctor-agent-ipv4", "kdoctor-netreach-t-ipv4"} {
		if service, _ := s.service(t, name); service.Spec.Type != corev1.ServiceTypeNodePort {
			t.Errorf("%s is of type %s, want NodePort", name, service.Spec.Type)
		}
	}
	standard, err := s.Standard(t.Context())
	if err != nil || standard.NoLoadBalancer != "the value is Never" {
		t.Errorf("the default agents are %+v, %v", standard, err)
	}
}

func TestATaskThatProbesNoLoadBalancerGetsNone(t *testing.T) {
	s := newStage(t)
	wish := wishFor("t", "task", v1beta1.AgentSpec{})
	wish.LoadBalancer = false
	s.ensure(t, wish)
	service, _ := s.service(t, "kdoctor-netreach-t-ipv4")
	if service.Spec.Type != corev1.ServiceTypeNodePort {
		t.Errorf("its Service is of type %s, want NodePort", service.Spec.Type)
	}
}

// Load balancers, GitOps tools and people write on live objects what belongs to these alone.
func TestNothingIsCopiedFromTheLiveObjects(t *testing.T) {
	s := newStage(t)
	if _, err := s.EnsureStandard(t.Context(), Demand{LoadBalancer: everyFamily()}); err != nil {
		t.Fatal(err)
	}
	written, _ := s.service(t, "kdoctor-agent-ipv4")
	written.Annotations["loadbalancer.example.com/load-balancer-id"] = "0b5d2d4c"
	written.Spec.ExternalIPs = []string{"203.0.113.9"}
	if err := s.api.Update(t.Context(), &written); err != nil {
		t.Fatal(err)
	}
	s.ensure(t, wishFor("t", "task", v1beta1.AgentSpec{}))
	for _, name := range []string{"kdoctor-netreach-t-ipv4", "kdoctor-netreach-t-ipv6"} {
		service, _ := s.service(t, name)
		if !cmp.Equal(service.Annotations, map[string]string{"metallb.io/address-pool": "lab"}) ||
			len(service.Spec.ExternalIPs) > 0 {
			t.Errorf("%s has annotations %v and external addresses %v", name, service.Annotations,
				service.Spec.ExternalIPs)
		}
	}
	live := standardIngress()
	if err := s.api.Create(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	live.Annotations = map[string]string{"ingress.kubernetes.io/backends": "unhealthy"}
	if err := s.api.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	if status := s.ensure(t, wishFor("t", "task", v1beta1.AgentSpec{})); status.Made {
		t.Errorf("the health of backends of the default Ingress made the task's agents new: %+v", status)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	s := newStage(t)
	wish := wishFor("t", "task", v1beta1.AgentSpec{Kind: topology.Deployment})
	s.ensure(t, wish)
	var deployment appsv1.Deployment
	key := client.ObjectKey{Namespace: namespace, Name: "kdoctor-netreach-t"}
	if err := s.api.Get(t.Context(), key, &deployment); err != nil {
		t.Fatal(err)
	}
	none := int32(0)
	deployment.Spec.Replicas = &none
	if err := s.api.Update(t.Context(), &deployment); err != nil {
		t.Fatal(err)
	}
	service, _ := s.service(t, "kdoctor-netreach-t-ipv4")
	service.Spec.Selector = map[string]string{"app": "other"}
	if err := s.api.Update(t.Context(), &service); err != nil {
		t.Fatal(err)
	}
	if status := s.ensure(t, wish); !status.Made {
		t.Error("the repair is not told of, so rounds would begin before the agents are there")
	}
	if err := s.api.Get(t.Context(), key, &deployment); err != nil {
		t.Fatal(err)
	}
	if *deployment.Spec.Replicas != 1 {
		t.Errorf("the Deployment has %d replicas, and the task asks for 1", *deployment.Spec.Replicas)
	}
	if service, _ = s.service(t, "kdoctor-netreach-t-ipv4"); service.Spec.Selector[nameLabel] != "kdoctor-netreach-t" {
		t.Errorf("the Service selects %v", service.Spec.Selector)
	}
}

func TestAgentsOfTasksThatAreGoneAreCollected(t *testing.T) {
	s := newStage(t)
	s.ensure(t, wishFor("stays", "1", v1beta1.AgentSpec{}))
	s.ensure(t, wishFor("goes", "2", v1beta1.AgentSpec{}))
	s.ensure(t, wishFor("goes-too", "3", v1beta1.AgentSpec{Kind: topology.Deployment}))
	if err := s.Collect(t.Context(), map[string]bool{"1": true}); err != nil {
		t.Fatal(err)
	}
	var sets appsv1.DaemonSetList
	var deployments appsv1.DeploymentList
	if err := s.api.List(t.Context(), &sets); err != nil {
		t.Fatal(err)
	}
	if err := s.api.List(t.Context(), &deployments); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, set := range sets.Items {
		names = append(names, set.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"kdoctor-agent", "kdoctor-netreach-stays"}) || len(deployments.Items) > 0 {
		t.Errorf("left are %v and %d Deployments", names, len(deployments.Items))
	}
}

func TestManifestsAreReadStrictly(t *testing.T) {
	const set, service = "metadata: {name: kdoctor-agent}", "metadata: {name: kdoctor-agent}\nspec: {type: NodePort}"
	whole := fstest.MapFS{"daemonset.yaml": {Data: []byte(set)}, "service.yaml": {Data: []byte(service)}}
	m, err := ReadManifests(whole)
	if err != nil || m.DaemonSet.Name != "kdoctor-agent" || m.Service.Spec.Type != corev1.ServiceTypeNodePort ||
		m.LoadBalancer != nil || m.Ingress != nil {
		t.Errorf("%+v, %v", m, err)
	}
	for name, folder := range map[string]fstest.MapFS{
		"no DaemonSet": {"service.yaml": {Data: []byte(service)}},
		"no Service":   {"daemonset.yaml": {Data: []byte(set)}},
		"an odd field": {"daemonset.yaml": {Data: []byte(set)}, "service.yaml": {Data: []byte("spec: {typ: x}")}},
		"an odd Ingress": {"daemonset.yaml": {Data: []byte(set)}, "service.yaml": {Data: []byte(service)},
			"ingress.yaml": {Data: []byte("spec: 7")}},
	} {
		if _, err := ReadManifests(folder); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
