package workload

import (
	"errors"
	"fmt"
	"io/fs"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/topology"
)

// The files of a folder of manifests.
const (
	daemonSetFile    = "daemonset.yaml"
	serviceFile      = "service.yaml"
	loadBalancerFile = "loadbalancer.yaml"
	ingressFile      = "ingress.yaml"
)

// Manifests are the objects of the default agents as the installation has them: what agents of tasks' own, and what is
// made on demand in front of the default agents, are copies of. Nothing is copied from the live objects, on which load
// balancers and tools write what belongs to that one object.
type Manifests struct {
	DaemonSet *appsv1.DaemonSet
	// Service is the agents' Service, of type ClusterIP or NodePort. One is made for each IP family.
	Service *corev1.Service
	// LoadBalancer is the same Service while a task asks for a load balancer; nil where the installation may have none.
	LoadBalancer *corev1.Service
	// Ingress is nil where the installation may have none.
	Ingress *networkingv1.Ingress
}

// ReadManifests reads a folder with daemonset.yaml, service.yaml and, where the installation may have these,
// loadbalancer.yaml and ingress.yaml. A field that Kubernetes does not know is an error.
func ReadManifests(folder fs.FS) (m Manifests, err error) {
	if m.DaemonSet, err = readManifest[appsv1.DaemonSet](folder, daemonSetFile); err != nil {
		return Manifests{}, err
	}
	if m.Service, err = readManifest[corev1.Service](folder, serviceFile); err != nil {
		return Manifests{}, err
	}
	m.LoadBalancer, err = readManifest[corev1.Service](folder, loadBalancerFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifests{}, err
	}
	m.Ingress, err = readManifest[networkingv1.Ingress](folder, ingressFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifests{}, err
	}
	return m, nil
}

func readManifest[T any](folder fs.FS, name string) (*T, error) {
	text, err := fs.ReadFile(folder, name)
	if err != nil {
		return nil, fmt.Errorf("read a manifest of the default agents: %w", err)
	}
	object := new(T)
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		return nil, fmt.Errorf("read the manifest %s of the default agents: %w", name, err)
	}
	return object, nil
}

// standard names the default agents, with a Service for each of the families.
func (m Manifests) standard(families []topology.Family) topology.Workload {
	w := topology.Workload{Kind: topology.DaemonSet, Name: m.DaemonSet.Name}
	for _, family := range families {
		w.Services = append(w.Services, m.Service.Name+suffixOf(family))
	}
	if m.Ingress != nil {
		w.Ingress = m.Ingress.Name
	}
	return w
}

// families are those that the API server gave to a Service, IPv4 first.
func families(of corev1.Service) []topology.Family {
	var found []topology.Family
	for _, each := range []struct {
		of     corev1.IPFamily
		family topology.Family
	}{{corev1.IPv4Protocol, topology.IPv4}, {corev1.IPv6Protocol, topology.IPv6}} {
		for _, given := range of.Spec.IPFamilies {
			if given == each.of {
				found = append(found, each.family)
			}
		}
	}
	return found
}
