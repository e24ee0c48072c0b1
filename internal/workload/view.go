package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// view is what the namespace has of the kinds that agents and their fronts are made of: the default agents, those of
// tasks' own, and whatever has their names or ports. All is read from the API server, with one call a kind, so that no
// cache with the whole namespace has to be kept.
type view struct {
	namespace   string
	sets        []appsv1.DaemonSet
	deployments []appsv1.Deployment
	services    []corev1.Service
	ingresses   []networkingv1.Ingress
}

// listNamespace reads the namespace.
func (k *Keeper) listNamespace(ctx context.Context) (*view, error) {
	var sets appsv1.DaemonSetList
	var deployments appsv1.DeploymentList
	var services corev1.ServiceList
	var ingresses networkingv1.IngressList
	for _, list := range []struct {
		what string
		into client.ObjectList
	}{{"daemon sets", &sets}, {"deployments", &deployments}, {"services", &services}, {"ingresses", &ingresses}} {
		if err := k.Client.List(ctx, list.into, client.InNamespace(k.Namespace)); err != nil {
			return nil, fmt.Errorf("list %s: %w", list.what, err)
		}
	}
	return &view{namespace: k.Namespace, sets: sets.Items, deployments: deployments.Items, services: services.Items,
		ingresses: ingresses.Items}, nil
}

// set, deployment, service and ingress return the object of the name, nil without one.
func (v *view) set(name string) *appsv1.DaemonSet {
	for i := range v.sets {
		if v.sets[i].Name == name {
			return &v.sets[i]
		}
	}
	return nil
}

func (v *view) deployment(name string) *appsv1.Deployment {
	for i := range v.deployments {
		if v.deployments[i].Name == name {
			return &v.deployments[i]
		}
	}
	return nil
}

func (v *view) service(name string) *corev1.Service {
	for i := range v.services {
		if v.services[i].Name == name {
			return &v.services[i]
		}
	}
	return nil
}

func (v *view) ingress(name string) *networkingv1.Ingress {
	for i := range v.ingresses {
		if v.ingresses[i].Name == name {
			return &v.ingresses[i]
		}
	}
	return nil
}

// workload is the DaemonSet or Deployment of the name, nil without one.
func (v *view) workload(kind, name string) client.Object {
	if kind == topology.Deployment {
		if found := v.deployment(name); found != nil {
			return found
		}
		return nil
	}
	if found := v.set(name); found != nil {
		return found
	}
	return nil
}

// front is the Service or Ingress of the name, nil without one.
func (v *view) front(kind, name string) client.Object {
	if kind == kindIngress {
		if found := v.ingress(name); found != nil {
			return found
		}
		return nil
	}
	if found := v.service(name); found != nil {
		return found
	}
	return nil
}

// absent is the error for an object of the default agents that does not exist, as the API server would put it.
func (v *view) absent(group, resource, kind, name string) error {
	return fmt.Errorf("read %s %s/%s of the default agents: %w", kind, v.namespace, name,
		apierrors.NewNotFound(schema.GroupResource{Group: group, Resource: resource}, name))
}
