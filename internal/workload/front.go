package workload

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceOf makes a Service after that of the default agents, without what the cluster gave to it: addresses and node
// ports.
func serviceOf(standard *corev1.Service, wish DesiredAgents, name string, owner metav1.OwnerReference) *corev1.Service {
	spec := standard.Spec.DeepCopy()
	spec.Selector = labelsOf(spec.Selector, wish.Names.Name)
	spec.ClusterIP, spec.ClusterIPs, spec.LoadBalancerIP, spec.HealthCheckNodePort = "", nil, "", 0
	for i := range spec.Ports {
		spec.Ports[i].NodePort = 0
	}
	annotations := inherited(standard.Annotations)
	maps.Copy(annotations, wish.Spec.Annotation)
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: standard.Namespace, Name: name,
			Labels:      labelsOf(standard.Labels, wish.Names.Name),
			Annotations: annotations, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: *spec,
	}
}

// ingressOf makes an Ingress after that of the default agents. Of two Ingresses with one path an implementation refuses
// one or serves the older, so each of ours has a path of its own; an agent answers any.
func ingressOf(standard *networkingv1.Ingress, wish DesiredAgents, owner metav1.OwnerReference) *networkingv1.Ingress {
	spec := standard.Spec.DeepCopy()
	if spec.DefaultBackend != nil && spec.DefaultBackend.Service != nil {
		spec.DefaultBackend.Service.Name = wish.Names.Services[0]
	}
	for _, rule := range spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			path := &rule.HTTP.Paths[i]
			path.Path = strings.TrimSuffix(path.Path, "/") + "-" + wish.Names.Name
			if !strings.HasPrefix(path.Path, "/") {
				path.Path = "/" + path.Path
			}
			if path.Backend.Service != nil {
				path.Backend.Service.Name = wish.Names.Services[0]
			}
		}
	}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: standard.Namespace, Name: wish.Names.Ingress,
			Labels:      labelsOf(standard.Labels, wish.Names.Name),
			Annotations: inherited(standard.Annotations), OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: *spec,
	}
}

// inherited are the annotations without those that tools keep for the one object that they stand on.
func inherited(annotations map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range annotations {
		switch {
		case strings.HasPrefix(key, "meta.helm.sh/"), strings.HasPrefix(key, "helm.sh/"),
			key == "kubectl.kubernetes.io/last-applied-configuration",
			// MetalLB writes here which pool it took the address from.
			strings.HasSuffix(key, "/ip-allocated-from-pool"):
		default:
			own[key] = value
		}
	}
	return own
}
