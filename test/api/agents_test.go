package api

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// newAgents is what makes agents of tasks' own in a namespace of the test's own.
func newAgents(t *testing.T, api client.Client) *workload.Keeper {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "agents-"}}
	if err := api.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Delete(context.WithoutCancel(t.Context()), namespace) })
	labels := map[string]string{"app.kubernetes.io/name": "kdoctor-agent", "app.kubernetes.io/instance": "kdoctor",
		"app.kubernetes.io/component": "kdoctor-agent"}
	return workload.NewKeeper(workload.Config{Client: api, Namespace: namespace.Name,
		HostPorts: workload.Range{First: 21000, Last: 21999}, FieldOwner: controller.FieldOwner,
		DualStack: "kdoctor-controller", IPv6: workload.No, Manifests: manifests(namespace.Name, labels)})
}

// manifests are those of the default agents, much as the chart has them.
func manifests(namespace string, labels map[string]string) workload.Manifests {
	object := metav1.ObjectMeta{Namespace: namespace, Name: "kdoctor-agent", Labels: labels}
	no, exact := false, networkingv1.PathTypeExact
	set := &appsv1.DaemonSet{ObjectMeta: object,
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels,
				Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "agent"}},
				Spec: corev1.PodSpec{AutomountServiceAccountToken: &no,
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					Containers: []corev1.Container{{
						Name: "agent", Image: "kdoctor/agent:test",
						Args: []string{"--http-port=8080", "--control-port=5710", "--health-port=5711",
							"--installation=x/kdoctor-agent"},
						Env: []corev1.EnvVar{{Name: "POD_NAME",
							ValueFrom: &corev1.EnvVarSource{
								FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
						Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080},
							{Name: "control", ContainerPort: 5710}, {Name: "health", ContainerPort: 5711}},
						ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
							HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromString("health")}}},
					}}}}}}
	service := &corev1.Service{ObjectMeta: object,
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: labels,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}}}
	balanced := service.DeepCopy()
	balanced.Spec.Type = corev1.ServiceTypeLoadBalancer
	to := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "kdoctor-agent-ipv4",
		Port: networkingv1.ServiceBackendPort{Name: "http"}}}
	paths := []networkingv1.HTTPIngressPath{{Path: "/kdoctoragent", PathType: &exact, Backend: to}}
	ingress := &networkingv1.Ingress{ObjectMeta: object, Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{
		{IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths}}}}}}
	return workload.Manifests{DaemonSet: set, Service: service, LoadBalancer: balanced, Ingress: ingress}
}

// install makes what the chart does: the default agents, and the Service by which the cluster's families are known.
func (s *stage) install(t *testing.T) {
	t.Helper()
	prefer := corev1.IPFamilyPolicyPreferDualStack
	families := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.agents.Namespace,
		Name: "kdoctor-controller"},
		Spec: corev1.ServiceSpec{IPFamilyPolicy: &prefer, Ports: []corev1.ServicePort{{Name: "https", Port: 443}}}}
	set := s.agents.Manifests.DaemonSet.DeepCopy()
	if err := errors.Join(s.api.Create(t.Context(), set), s.api.Create(t.Context(), families)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.agents.EnsureStandard(t.Context(), workload.Demand{}); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) get(t *testing.T, name string, object client.Object) {
	t.Helper()
	if err := s.api.Get(t.Context(), client.ObjectKey{Namespace: s.agents.Namespace, Name: name}, object); err != nil {
		t.Fatal(err)
	}
}

// make makes a task.
func (s *stage) make(t *testing.T, name string, spec v1beta1.NetReachSpec) *v1beta1.NetReach {
	t.Helper()
	task := &v1beta1.NetReach{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	if err := s.api.Create(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.api.Delete(context.WithoutCancel(t.Context()), task) })
	return task
}

func standsAt(status string) func(v1beta1.TaskStatus) bool {
	return func(s v1beta1.TaskStatus) bool { return s.Resource != nil && s.Resource.RuntimeStatus == status }
}

// wish is what the task asks for, as the controller puts it.
func (s *stage) wish(t *testing.T, task *v1beta1.NetReach, spec v1beta1.AgentSpec) workload.DesiredAgents {
	t.Helper()
	standard, err := s.agents.Standard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return workload.DesiredAgents{Task: workload.Task{Kind: "NetReach", Name: task.Name, UID: task.UID}, Spec: spec,
		Names: workload.Names("NetReach", task.Name, spec.Kind, standard, true), Ingress: true,
		Families: []topology.Family{topology.IPv4}}
}

func TestATaskRunsOnAgentsOfItsOwnAndLeavesNothingBehind(t *testing.T) {
	s := newStage(t)
	yes, none := true, int64(0)
	asked := v1beta1.AgentSpec{Annotation: map[string]string{"a": "b"}, TerminationGracePeriodMinutes: &none}
	task := s.make(t, "own", v1beta1.NetReachSpec{AgentSpec: &asked, Target: &v1beta1.NetReachTarget{Ingress: &yes}})
	s.await(t, task, standsAt("creating"))
	const name = "kdoctor-netreach-own"
	var set appsv1.DaemonSet
	var service, other corev1.Service
	var ingress networkingv1.Ingress
	s.get(t, name, &set)
	s.get(t, name+"-ipv4", &service)
	s.get(t, "kdoctor-agent-ipv4", &other)
	s.get(t, name+"-ipv4", &ingress)
	if set.Annotations["kdoctor.io/task-uid"] != string(task.UID) || !metav1.IsControlledBy(&service, &set) ||
		!metav1.IsControlledBy(&ingress, &set) {
		t.Error("the workload does not name the task, or does not own what stands in front of it")
	}
	if service.Spec.Type != corev1.ServiceTypeNodePort {
		t.Errorf("a task that probes no load balancer has a Service of type %s", service.Spec.Type)
	}
	if set.Spec.Template.Annotations["a"] != "b" {
		t.Errorf("annotations of the pods are %v, want the task's", set.Spec.Template.Annotations)
	}
	if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == other.Spec.ClusterIP ||
		service.Spec.Ports[0].NodePort == other.Spec.Ports[0].NodePort ||
		service.Spec.Selector["app.kubernetes.io/name"] != name {
		t.Errorf("Service %+v; want addresses and pods of its own", service.Spec)
	}
	if path := ingress.Spec.Rules[0].HTTP.Paths[0]; path.Path != "/kdoctoragent-"+name ||
		path.Backend.Service.Name != name+"-ipv4" {
		t.Errorf("Ingress with %+v; want a path and a Service of its own", path)
	}
	if len(s.begun) != 0 {
		t.Error("a round began before there were agents")
	}
	set.Status = appsv1.DaemonSetStatus{ObservedGeneration: set.Generation, DesiredNumberScheduled: 1,
		CurrentNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberReady: 1}
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "198.18.0.3"}}
	if err := errors.Join(s.api.Status().Update(t.Context(), &set),
		s.api.Status().Update(t.Context(), &ingress)); err != nil {
		t.Fatal(err)
	}
	if ran := receive(t, s.ran); ran.Name != name || ran.Kind != topology.DaemonSet || ran.Ingress != name+"-ipv4" {
		t.Errorf("the round runs on %+v", ran)
	}
	close(s.finish)
	found := s.await(t, task, standsAt("deleted"))
	if c := meta.FindStatusCondition(found.Status.Conditions, controller.AgentsReady); !found.Status.Finish ||
		c == nil || c.Reason != controller.AgentsRemoved {
		t.Errorf("status %+v; want finished, with agents that were removed", found.Status)
	}
	for _, object := range []client.Object{&set, &service, &ingress} {
		if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%T %s is still there: %v", object, object.GetName(), err)
		}
	}
}

func TestAgentsThatCannotBeMadeAreToldOfAndTriedAgain(t *testing.T) {
	s := newStage(t)
	stranger := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.agents.Namespace,
		Name: "kdoctor-netreach-refused-ipv4"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if err := s.api.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	task := s.make(t, "refused", v1beta1.NetReachSpec{AgentSpec: &v1beta1.AgentSpec{}})
	found := s.await(t, task, func(status v1beta1.TaskStatus) bool { return len(status.Conditions) > 0 })
	ready := meta.FindStatusCondition(found.Status.Conditions, controller.Ready)
	if ready == nil || ready.Reason != controller.AgentsNotMade || !strings.Contains(ready.Message, stranger.Name) {
		t.Errorf("condition %+v; want it to name the Service of somebody else", ready)
	}
	if err := s.api.Delete(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	found = s.await(t, task, standsAt("creating"))
	if ready = meta.FindStatusCondition(found.Status.Conditions,
		controller.Ready); ready.Status != metav1.ConditionTrue {
		t.Errorf("condition %+v; want the refusal gone", ready)
	}
}

// The API server fills in defaults and gives addresses: what was applied must be taken as it is, whatever came before
// it, and must not look changed afterwards.
func TestEveryFormOfAgentsIsTakenByTheAPIServerAndAppliedOnce(t *testing.T) {
	s := newStage(t)
	// The task has no agents of its own, so that nobody but this test makes any.
	task := s.make(t, "forms.of.agents", v1beta1.NetReachSpec{Suspend: true})
	two := int32(2)
	affinity := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "a",
			Operator: corev1.NodeSelectorOpExists}}}}}}}
	all := v1beta1.AgentSpec{Annotation: map[string]string{"a": "b"}, DeploymentReplicas: &two, Affinity: affinity,
		Env:         []corev1.EnvVar{{Name: "X", Value: "1"}, {Name: "X", Value: "2"}},
		HostNetwork: true, Resources: &corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}}}
	deployed := all
	deployed.Kind = topology.Deployment
	for _, step := range []struct {
		name string
		spec v1beta1.AgentSpec
	}{
		{"nothing set", v1beta1.AgentSpec{}},
		{"everything set", all},
		{"nothing again", v1beta1.AgentSpec{}},
		{"a Deployment", v1beta1.AgentSpec{Kind: topology.Deployment}},
		{"a Deployment with everything", deployed},
		{"only the nodes' network", v1beta1.AgentSpec{Kind: topology.Deployment, HostNetwork: true}},
		{"a DaemonSet once more", v1beta1.AgentSpec{Kind: topology.DaemonSet, HostNetwork: true}},
	} {
		wish := s.wish(t, task, step.spec)
		if first, err := s.agents.Ensure(t.Context(), wish); err != nil || !first.Made {
			t.Fatalf("%s: %+v, %v; want it made", step.name, first, err)
		}
		if again, err := s.agents.Ensure(t.Context(), wish); err != nil || again.Made {
			t.Errorf("%s: %+v, %v; want nothing to do the second time", step.name, again, err)
		}
		s.checkForm(t, step.name, wish)
	}
	if err := s.agents.Remove(t.Context(), s.wish(t, task, v1beta1.AgentSpec{})); err != nil {
		t.Fatal(err)
	}
	left := &metav1.PartialObjectMetadataList{}
	for _, kind := range []string{"DaemonSetList", "DeploymentList"} {
		left.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
		if err := s.api.List(t.Context(), left, client.InNamespace(s.agents.Namespace),
			client.MatchingLabels{"app.kubernetes.io/name": s.wish(t, task, v1beta1.AgentSpec{}).Names.Name},
		); err != nil || len(left.Items) != 0 {
			t.Errorf("%s: %d are left, %v", kind, len(left.Items), err)
		}
	}
}

// checkForm looks at what the API server made of the wish.
func (s *stage) checkForm(t *testing.T, step string, wish workload.DesiredAgents) {
	t.Helper()
	var template corev1.PodTemplateSpec
	if wish.Names.Kind == topology.Deployment {
		var d appsv1.Deployment
		s.get(t, wish.Names.Name, &d)
		template = d.Spec.Template
	} else {
		var d appsv1.DaemonSet
		s.get(t, wish.Names.Name, &d)
		template = d.Spec.Template
	}
	agent := template.Spec.Containers[0]
	if template.Annotations["a"] != wish.Spec.Annotation["a"] || template.Spec.HostNetwork != wish.Spec.HostNetwork ||
		!cmp.Equal(template.Spec.Affinity, wish.Spec.Affinity) ||
		(wish.Spec.HostNetwork != (agent.Ports[0].HostPort != 0)) || len(agent.Ports) != 3 {
		t.Errorf("%s: pods of %+v with ports %+v", step, template.Spec, agent.Ports)
	}
	if (wish.Spec.Resources != nil) != (len(agent.Resources.Limits) > 0) ||
		(len(wish.Spec.Env) > 0) != (len(agent.Env) == 2) {
		t.Errorf("%s: a container with %+v and %+v", step, agent.Resources, agent.Env)
	}
}
