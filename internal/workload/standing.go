package workload

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rolloutStatus reads how far the agents have come.
func (k *Keeper) rolloutStatus(ctx context.Context, seen *view, workload client.Object,
	wish DesiredAgents) (RolloutStatus, error) {
	standing := countsOf(workload)
	var pods corev1.PodList
	err := k.Client.List(ctx, &pods, client.InNamespace(k.Namespace), client.MatchingLabels{nameLabel: wish.Names.Name})
	if err != nil {
		return RolloutStatus{}, fmt.Errorf("list agent pods: %w", err)
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil &&
				c.LastTransitionTime.After(standing.Since) {
				standing.Since = c.LastTransitionTime.Time
			}
		}
	}
	standing.Missing = missing(seen, wish)
	return standing, nil
}

// countsOf reads the counts of the workload's controller. They say nothing as long as it has not seen the newest spec.
func countsOf(workload client.Object) (s RolloutStatus) {
	switch w := workload.(type) {
	case *appsv1.DaemonSet:
		s.Wanted = int(w.Status.DesiredNumberScheduled)
		if w.Status.ObservedGeneration >= w.Generation {
			s.Ready = int(min(w.Status.NumberReady, w.Status.UpdatedNumberScheduled))
		}
	case *appsv1.Deployment:
		s.Wanted = 1
		if w.Spec.Replicas != nil {
			s.Wanted = int(*w.Spec.Replicas)
		}
		if w.Status.ObservedGeneration >= w.Generation {
			s.Ready = int(min(w.Status.ReadyReplicas, w.Status.UpdatedReplicas))
		}
	}
	s.Whole = s.Wanted > 0 && s.Ready >= s.Wanted
	return s
}

// missing lists the addresses that the task probes, that the cluster gives to objects of this kind, and that are not
// there yet.
func missing(seen *view, wish DesiredAgents) []string {
	var missing []string
	for _, name := range wish.Names.Services {
		service := seen.service(name)
		if service == nil || service.DeletionTimestamp != nil {
			missing = append(missing, fmt.Sprintf("Service %s does not exist yet", name))
			continue
		}
		if wish.LoadBalancer && slices.Contains(wish.Families, FamilyOf(name)) {
			missing = append(missing, withoutAddress(service)...)
		}
	}
	if wish.Ingress && wish.Names.Ingress != "" {
		missing = append(missing, ingressWithoutAddress(seen, wish.Names.Ingress)...)
	}
	return missing
}

// withoutAddress says that a Service of type LoadBalancer has no address yet; nothing of any other.
func withoutAddress(service *corev1.Service) []string {
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || len(service.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	return []string{fmt.Sprintf("Service %s has no load balancer address yet", service.Name)}
}

// ingressWithoutAddress says that an Ingress has no address yet.
func ingressWithoutAddress(seen *view, name string) []string {
	if ingress := seen.ingress(name); ingress != nil && len(ingress.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	return []string{fmt.Sprintf("Ingress %s has no address yet", name)}
}
