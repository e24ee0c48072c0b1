package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kdoctor.io/kdoctor/internal/kube/certificates"
	"kdoctor.io/kdoctor/internal/kube/leader"
	"kdoctor.io/kdoctor/internal/store"
)

// How replicas agree on the one that leads. A replica whose node dies is followed within leaseDuration and two retries,
// which are up to 1.2 times as long: 15 s. The leader writes the lease, and each other replica reads it, every
// retryPeriod; these are the periods of other controllers too. A leader that cannot write for renewDeadline ends, so
// that two never lead at a time.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 6 * time.Second
	retryPeriod   = 2 * time.Second
)

// abandoned is the age above which a half-written file has no writer any more: neither a replica that was killed, nor
// the leader before, which writes for some seconds after it has given the lease back.
const abandoned = time.Minute

// withdrawWithin is how long it is tried to remove the registration of the aggregated API, less than handOver.
const withdrawWithin = 15 * time.Second

// withElection sets how replicas agree on the one that leads.
func withElection(to ctrl.Options, o *options) ctrl.Options {
	duration, deadline, period := leaseDuration, renewDeadline, retryPeriod
	to.LeaderElection, to.LeaderElectionID, to.LeaderElectionNamespace = o.elect, lease, o.namespace
	to.LeaseDuration, to.RenewDeadline, to.RetryPeriod = &duration, &deadline, &period
	// Rounds have been handed over by the time that the manager gives the lease back.
	to.LeaderElectionReleaseOnCancel = true
	return to
}

// addLeaderParts adds what the leader alone does besides rounds: it is what the aggregated API's Service leads to, and
// it writes into the store what waits for that. Others only read there.
func addLeaderParts(mgr ctrl.Manager, o *options, direct client.Client, kept *store.Store) error {
	mark := &leader.Mark{Client: direct, Namespace: o.namespace, Pod: o.pod}
	for _, part := range []manager.Runnable{mark,
		manager.RunnableFunc(func(ctx context.Context) error {
			kept.RemoveHalves(abandoned)
			return kept.Run(ctx, o.retention)
		})} {
		if err := mgr.Add(part); err != nil {
			return fmt.Errorf("add a part of the leader: %w", err)
		}
	}
	return nil
}

// ownNamespace is the metadata of the installation's namespace, of which the cache holds no other.
func ownNamespace() *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return namespace
}

// onlyOwnNamespace has the cache watch the installation's namespace and no other.
func onlyOwnNamespace(o *options) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		ownNamespace(): {Field: fields.OneTermEqualSelector("metadata.name", o.namespace)},
	}
}

// watchNamespace has every replica remove the registration of the aggregated API as soon as the installation's
// namespace is being deleted. Nobody answers for the API from then on, and a registered API that does not answer keeps
// every namespace of the cluster, this one too, from being deleted. Kubernetes begins to delete what a namespace holds,
// and with it the right to remove the registration, 5 s after the namespace was marked as being deleted.
func watchNamespace(ctx context.Context, mgr ctrl.Manager, authority *certificates.Authority) error {
	informer, err := mgr.GetCache().GetInformer(ctx, ownNamespace(), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch the controller's own namespace: %w", err)
	}
	deleting := make(chan struct{}, 1)
	look := func(object any) {
		if namespace, ok := object.(metav1.Object); ok && namespace.GetDeletionTimestamp() != nil {
			select {
			case deleting <- struct{}{}:
			default:
			}
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: look,
		UpdateFunc: func(_, now any) { look(now) }}); err != nil {
		return fmt.Errorf("watch the controller's own namespace: %w", err)
	}
	withdraw := everyReplica(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-deleting:
		}
		// This pod is deleted with the namespace, and goes on trying until it is gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawWithin)
		defer cancel()
		return authority.Withdraw(ctx)
	})
	if err := mgr.Add(withdraw); err != nil {
		return fmt.Errorf("add the withdrawal of the registration: %w", err)
	}
	return nil
}
