package workload

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

// front is whose Services and Ingress are made: the agents' names, their labels, and the annotations that a task adds.
type front struct {
	names topology.Workload
	// standard reports that they are the default agents, whose labels stay as they are.
	standard    bool
	annotations map[string]string
	owner       metav1.OwnerReference
}

// labels are those of an object in front of the agents, and of their selector. What stands in front of the default
// agents bears the marks of the release, so that a release whose chart has the object itself takes it over.
func (f front) labels(of map[string]string) map[string]string {
	if f.standard {
		return maps.Clone(of)
	}
	return labelsOf(of, f.names.Name)
}

// inherited are the annotations of a manifest, without the marks of the release where the object is not the release's.
func (f front) inherited(of map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range of {
		if f.standard || !strings.HasPrefix(key, "meta.helm.sh/") {
			own[key] = value
		}
	}
	return own
}

// serviceOf makes a Service of one family after the manifest.
func (f front) serviceOf(manifest *corev1.Service, name string, family topology.Family) *corev1.Service {
	spec := manifest.Spec.DeepCopy()
	spec.Selector = f.labels(spec.Selector)
	single := corev1.IPFamilyPolicySingleStack
	spec.IPFamilyPolicy, spec.IPFamilies = &single, []corev1.IPFamily{corev1.IPFamily(family)}
	annotations := f.inherited(manifest.Annotations)
	maps.Copy(annotations, f.annotations)
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kindService},
		ObjectMeta: metav1.ObjectMeta{Namespace: manifest.Namespace, Name: name, Labels: f.labels(manifest.Labels),
			Annotations: annotations, OwnerReferences: []metav1.OwnerReference{f.owner}},
		Spec: *spec,
	}
}

// ingressOf makes an Ingress after the manifest. Of two Ingresses with one path an implementation refuses one or serves
// the older, so each of a task's own has a path of its own; an agent answers any.
func (f front) ingressOf(manifest *networkingv1.Ingress) *networkingv1.Ingress {
	spec := manifest.Spec.DeepCopy()
	if spec.DefaultBackend != nil && spec.DefaultBackend.Service != nil {
		spec.DefaultBackend.Service.Name = f.names.Services[0]
	}
	for _, rule := range spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			path := &rule.HTTP.Paths[i]
			if !f.standard {
				path.Path = strings.TrimSuffix(path.Path, "/") + "-" + f.names.Name
			}
			if !strings.HasPrefix(path.Path, "/") {
				path.Path = "/" + path.Path
			}
			if path.Backend.Service != nil {
				path.Backend.Service.Name = f.names.Services[0]
			}
		}
	}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: kindIngress},
		ObjectMeta: metav1.ObjectMeta{Namespace: manifest.Namespace, Name: f.names.Ingress,
			Labels: f.labels(manifest.Labels), Annotations: f.inherited(manifest.Annotations),
			OwnerReferences: []metav1.OwnerReference{f.owner}},
		Spec: *spec,
	}
}

// withoutInstaller are the labels without those by which a tool that installs finds what it installed.
func withoutInstaller(labels map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range labels {
		if !strings.HasPrefix(key, "helm.sh/") && key != "app.kubernetes.io/managed-by" {
			own[key] = value
		}
	}
	return own
}
