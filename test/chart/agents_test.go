package chart

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// ownAgents makes agents after those of the release, with the rights of the controller and no others.
func ownAgents(t *testing.T, config *rest.Config) {
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: account,
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	api, err := kube.NewClient(limited)
	if err != nil {
		t.Fatal(err)
	}
	standard := topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-agent",
		Services: []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"}, Ingress: "kdoctor-agent"}
	for _, name := range standard.Services {
		// A cluster of one family has one Service.
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name},
			&corev1.Service{}); err != nil {
			standard.Services = standard.Services[:1]
		}
	}
	keeper := workload.NewKeeper(workload.Config{Client: api, Namespace: namespace, Standard: standard,
		HostPorts: workload.Range{First: 21000, Last: 21999}, FieldOwner: "kdoctor-controller"})
	yes := true
	for _, kind := range []string{topology.DaemonSet, topology.Deployment} {
		wish := workload.DesiredAgents{
			Owner: metav1.OwnerReference{APIVersion: "kdoctor.io/v1beta1", Kind: "NetReach", Name: "t",
				UID: "0b3f1a66-2f0c-4f43-9d0e-1f2f3e4a5b6c", Controller: &yes},
			Spec:  v1beta1.AgentSpec{Kind: kind, HostNetwork: kind == topology.Deployment},
			Names: workload.Names("NetReach", "t", kind, standard, true), LoadBalancer: true, Ingress: true,
			Families: []topology.Family{topology.IPv4, topology.IPv6},
		}
		if standing, err := keeper.Ensure(t.Context(), wish); err != nil || !standing.Made {
			t.Fatalf("%s: %+v, %v", kind, standing, err)
		}
		if standing, err := keeper.Ensure(t.Context(), wish); err != nil || standing.Made {
			t.Errorf("%s: %+v, %v; want it to be there", kind, standing, err)
		}
		if kind == topology.DaemonSet {
			ownPodIsAdmitted(t, config, wish.Names.Name)
		}
		if err := keeper.Remove(t.Context(), wish); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// ownPodIsAdmitted tries a pod of the workload in the release's namespace, which is a restricted one.
func ownPodIsAdmitted(t *testing.T, config *rest.Config, name string) {
	t.Helper()
	api, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.DaemonSet
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &set); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "try"}, Spec: set.Spec.Template.Spec}
	if err := api.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("a pod of the task's own agents is refused: %v", err)
	}
}
