package workload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apply makes the object what it ought to be by server-side apply, unless that was applied to the current one already,
// and reports whether it did. What others add to an object, such as an address, stays theirs. Current is nil when there
// is no object yet.
func (k *Keeper) apply(ctx context.Context, want, current client.Object) (bool, error) {
	kind := want.GetObjectKind().GroupVersionKind().Kind
	patch, digest, err := patchOf(want)
	if err != nil {
		return false, fmt.Errorf("encode %s %s/%s: %w", kind, k.Namespace, want.GetName(), err)
	}
	if current != nil && current.GetLabels()[appliedLabel] == digest {
		return false, nil
	}
	err = k.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.ForceOwnership,
		client.FieldOwner(k.FieldOwner))
	if err != nil {
		return false, fmt.Errorf("apply %s %s/%s: %w", kind, k.Namespace, want.GetName(), err)
	}
	return true, nil
}

// patchOf is the object as it is applied, with a digest of itself as a label.
func patchOf(want client.Object) (patch *unstructured.Unstructured, digest string, err error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return nil, "", err
	}
	// Not ours to say.
	unstructured.RemoveNestedField(fields, "status")
	for _, path := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
		unstructured.RemoveNestedField(fields, append(path, "creationTimestamp")...)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(text)
	digest = hex.EncodeToString(sum[:8])
	patch = &unstructured.Unstructured{Object: fields}
	labels := patch.GetLabels()
	labels[appliedLabel] = digest
	patch.SetLabels(labels)
	return patch, digest, nil
}
