package chart

import (
	"testing"
	"testing/fstest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/certificates"
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
	owner, err := certificates.OwnerDeployment(t.Context(), api, namespace, "kdoctor-controller")
	if err != nil {
		t.Fatal(err)
	}
	keeper := workload.NewKeeper(workload.Config{Client: api, Namespace: namespace, Owner: *owner,
		Manifests: manifestsOf(t, config), DualStack: "kdoctor-controller",
		HostPorts: workload.Range{First: 21000, Last: 21999}, FieldOwner: "kdoctor-controller"})
	demand := workload.Demand{LoadBalancer: []topology.Family{topology.IPv4, topology.IPv6}, Ingress: true}
	for _, want := range []workload.Demand{{}, demand} {
		if standing, err := keeper.EnsureStandard(t.Context(), want); err != nil || !standing.Made {
			t.Fatalf("in front of the default agents, for %+v: %+v, %v", want, standing, err)
		}
	}
	for _, after := range []time.Duration{0, time.Hour} {
		if err := keeper.ReleaseStandard(t.Context(), workload.Demand{}, time.Minute,
			time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	standard, err := keeper.Standard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range standard.Services {
		var service corev1.Service
		err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &service)
		if err != nil || service.Spec.Type != corev1.ServiceTypeNodePort {
			t.Errorf("after the last demand Service %s is of type %q, %v", name, service.Spec.Type, err)
		}
	}
	for _, kind := range []string{topology.DaemonSet, topology.Deployment} {
		wish := workload.DesiredAgents{
			Task:  workload.Task{Kind: "NetReach", Name: "t", UID: "0b3f1a66-2f0c-4f43-9d0e-1f2f3e4a5b6c"},
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

// manifestsOf reads the manifests that the chart gives to the controller.
func manifestsOf(t *testing.T, config *rest.Config) workload.Manifests {
	t.Helper()
	api, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	var files corev1.ConfigMap
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kdoctor-agent-manifests"},
		&files); err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files.Data {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	manifests, err := workload.ReadManifests(folder)
	if err != nil {
		t.Fatal(err)
	}
	return manifests
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
