package inventory

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// workload is what the DaemonSet or Deployment of the agents asks for.
type workload struct {
	kind     string
	uid      types.UID
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	// desired is how many agents there ought to be, by a DaemonSet's status or a Deployment's spec. It is 0 when the
	// status is about an earlier spec.
	desired int
	// misscheduled is the number of nodes, by a DaemonSet's status, that run a pod and ought not to.
	misscheduled int
	// refused is why pods of a Deployment were refused, in the API server's words.
	refused string
}

func (i *Inventory) workload(ctx context.Context, of topology.Workload) (workload, error) {
	switch of.Kind {
	case topology.DaemonSet:
		var set appsv1.DaemonSet
		if err := i.reader.Get(ctx, i.key(of.Name), &set); err != nil {
			return workload{}, fmt.Errorf("get daemon set %s/%s: %w", i.namespace, of.Name, err)
		}
		w := workload{kind: topology.DaemonSet, uid: set.UID, selector: set.Spec.Selector, template: set.Spec.Template}
		if set.Status.ObservedGeneration >= set.Generation {
			w.desired, w.misscheduled = int(set.Status.DesiredNumberScheduled), int(set.Status.NumberMisscheduled)
		}
		return w, nil
	case topology.Deployment:
		var deployment appsv1.Deployment
		if err := i.reader.Get(ctx, i.key(of.Name), &deployment); err != nil {
			return workload{}, fmt.Errorf("get deployment %s/%s: %w", i.namespace, of.Name, err)
		}
		replicas := 1
		if deployment.Spec.Replicas != nil {
			replicas = int(*deployment.Spec.Replicas)
		}
		return workload{kind: topology.Deployment, uid: deployment.UID, selector: deployment.Spec.Selector,
			template: deployment.Spec.Template, desired: replicas, refused: refusedBy(deployment)}, nil
	default:
		return workload{}, fmt.Errorf("agents run in a DaemonSet or a Deployment, not in a %q", of.Kind)
	}
}

// podsOf lists the pods that the workload controls. Labels alone do not decide: any other pod can carry them.
func (i *Inventory) podsOf(ctx context.Context, name string, wanted workload) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(wanted.selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of %s %s/%s: %w", wanted.kind, i.namespace, name, err)
	}
	within := []client.ListOption{client.InNamespace(i.namespace), client.MatchingLabelsSelector{Selector: selector}}
	controllers := []types.UID{wanted.uid}
	if wanted.kind == topology.Deployment {
		var sets appsv1.ReplicaSetList
		if err := i.reader.List(ctx, &sets, within...); err != nil {
			return nil, fmt.Errorf("list replica sets: %w", err)
		}
		controllers = nil
		for _, set := range sets.Items {
			if controlledBy(&set, []types.UID{wanted.uid}) {
				controllers = append(controllers, set.UID)
			}
		}
	}
	list, err := i.pods.get(ctx, selector.String(), func(ctx context.Context) ([]corev1.Pod, error) {
		return listPods(ctx, i.reader, within...)
	})
	if err != nil {
		return nil, fmt.Errorf("list agent pods: %w", err)
	}
	// The list is another snapshot's, too.
	var pods []corev1.Pod
	for i := range list {
		if controlledBy(&list[i], controllers) {
			pods = append(pods, list[i])
		}
	}
	return pods, nil
}

func controlledBy(object metav1.Object, controllers []types.UID) bool {
	owner := metav1.GetControllerOfNoCopy(object)
	return owner != nil && slices.Contains(controllers, owner.UID)
}
