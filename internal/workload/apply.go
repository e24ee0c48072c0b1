package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apply makes the object what it ought to be by server-side apply, and reports whether that changed it. It is applied
// every time, so that what others changed of it does not stay. What others add to it, such as an address, stays theirs.
// Current is nil when there is no object yet. The object is returned as it is then.
func (k *Keeper) apply(ctx context.Context, want, current client.Object) (client.Object, bool, error) {
	kind := want.GetObjectKind().GroupVersionKind().Kind
	patch, err := patchOf(want)
	if err != nil {
		return nil, false, fmt.Errorf("encode %s %s/%s: %w", kind, k.Namespace, want.GetName(), err)
	}
	err = k.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.ForceOwnership,
		client.FieldOwner(k.FieldOwner))
	if err != nil {
		return nil, false, fmt.Errorf("apply %s %s/%s: %w", kind, k.Namespace, want.GetName(), err)
	}
	applied, ok := want.DeepCopyObject().(client.Object)
	if !ok {
		return nil, false, fmt.Errorf("apply %s %s/%s: a %T has no name", kind, k.Namespace, want.GetName(), want)
	}
	// The API server's answer is in the patch.
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(patch.Object, applied); err != nil {
		return nil, false, fmt.Errorf("read %s %s/%s as it was applied: %w", kind, k.Namespace, want.GetName(), err)
	}
	return applied, current == nil || changed(current, want, applied), nil
}

// changed reports whether an object asks for something else than before. Annotations that are not ours do not count:
// an Ingress controller may keep the health of backends there.
func changed(before, want, after client.Object) bool {
	for key, value := range want.GetAnnotations() {
		if before.GetAnnotations()[key] != value {
			return true
		}
	}
	return before.GetUID() != after.GetUID() || !equality.Semantic.DeepEqual(specOf(before), specOf(after))
}

// specOf is what an object asks for.
func specOf(object client.Object) any {
	switch o := object.(type) {
	case *appsv1.DaemonSet:
		return o.Spec
	case *appsv1.Deployment:
		return o.Spec
	case *corev1.Service:
		return o.Spec
	case *networkingv1.Ingress:
		return o.Spec
	}
	return nil
}

// patchOf is the object as it is applied.
func patchOf(want client.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return nil, err
	}
	// Not ours to say.
	unstructured.RemoveNestedField(fields, "status")
	for _, path := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
		unstructured.RemoveNestedField(fields, append(path, "creationTimestamp")...)
	}
	return &unstructured.Unstructured{Object: fields}, nil
}
