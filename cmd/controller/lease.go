package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/workload"
)

// leaseMarks keeps on the leader's lease whose it is: it goes with the installation, and bears the marks of the
// release, so that a release whose chart has the lease itself takes it over. The election, which makes the lease,
// writes neither.
type leaseMarks struct {
	client      client.Client
	key         client.ObjectKey
	owner       metav1.OwnerReference
	labels      map[string]string
	annotations map[string]string
	log         logr.Logger
}

// leaseEvery is how often the lease is looked at: it may be deleted at any time, and made again.
const leaseEvery = 20 * time.Second

// addLeaseMarks adds them to what the leader does.
func addLeaseMarks(mgr ctrl.Manager, o *options, direct client.Client, owner *metav1.OwnerReference,
	agents *workload.Keeper) error {
	if owner == nil || !o.elect {
		return nil
	}
	marks := &leaseMarks{client: direct, key: client.ObjectKey{Namespace: o.namespace, Name: lease}, owner: *owner,
		labels: map[string]string{}, annotations: map[string]string{}, log: mgr.GetLogger().WithName("lease")}
	const managedBy = "app.kubernetes.io/managed-by"
	if by, ok := agents.Manifests.Service.Labels[managedBy]; ok {
		marks.labels[managedBy] = by
	}
	for key, value := range agents.Manifests.Service.Annotations {
		if strings.HasPrefix(key, "meta.helm.sh/") {
			marks.annotations[key] = value
		}
	}
	if err := mgr.Add(marks); err != nil {
		return fmt.Errorf("add the marks of the lease: %w", err)
	}
	return nil
}

// NeedLeaderElection is true: whoever leads has the lease.
func (m *leaseMarks) NeedLeaderElection() bool { return true }

// Start looks at the lease until the context is over.
func (m *leaseMarks) Start(ctx context.Context) error {
	for {
		// The election may write at the same time; then it is tried again.
		if err := m.once(ctx); err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
			m.log.Error(err, "mark the leader's lease")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(leaseEvery):
		}
	}
}

func (m *leaseMarks) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	found := &unstructured.Unstructured{}
	found.SetAPIVersion("coordination.k8s.io/v1")
	found.SetKind("Lease")
	if err := m.client.Get(ctx, m.key, found); err != nil {
		return client.IgnoreNotFound(err)
	}
	labels, annotations := with(found.GetLabels(), m.labels), with(found.GetAnnotations(), m.annotations)
	if maps.Equal(labels, found.GetLabels()) && maps.Equal(annotations, found.GetAnnotations()) &&
		len(found.GetOwnerReferences()) == 1 && found.GetOwnerReferences()[0].UID == m.owner.UID {
		return nil
	}
	found.SetLabels(labels)
	found.SetAnnotations(annotations)
	found.SetOwnerReferences([]metav1.OwnerReference{m.owner})
	return m.client.Update(ctx, found)
}

// with is one map with the entries of the other above its own; it is nil where both are empty.
func with(all, more map[string]string) map[string]string {
	if len(all)+len(more) == 0 {
		return nil
	}
	merged := maps.Clone(all)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, more)
	return merged
}
