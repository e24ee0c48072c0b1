package certificates

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// withdrawAgain is the pause between two tries to remove the registration, and withdrawWithin how long one may
	// take: the right to do so is gone some seconds after the namespace was marked as being deleted.
	withdrawAgain  = 200 * time.Millisecond
	withdrawWithin = 2 * time.Second
)

// ensureRegistration gives the APIService our bundle. One that does not exist yet is no error: an installer may make it
// last.
func (a *Authority) ensureRegistration(ctx context.Context, bundle []byte) (complete bool, err error) {
	if a.config.APIService == "" {
		return true, nil
	}
	var registration apiregistrationv1.APIService
	err = a.config.Client.Get(ctx, client.ObjectKey{Name: a.config.APIService}, &registration)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get API service %s: %w", a.config.APIService, err)
	}
	if bytes.Equal(registration.Spec.CABundle, bundle) {
		return true, nil
	}
	before := registration.DeepCopy()
	registration.Spec.CABundle = bundle
	if err := a.config.Client.Patch(ctx, &registration, client.MergeFrom(before)); err != nil {
		return false, fmt.Errorf("write the CA bundle of API service %s: %w", a.config.APIService, err)
	}
	logr.FromContextOrDiscard(ctx).Info("wrote the CA bundle", "apiService", a.config.APIService)
	return true, nil
}

// Withdraw removes the registration, if it leads to a Service of this installation's namespace. Run does not make it
// again: an installer makes it. Withdraw tries until it succeeds or the context is over, and returns nil.
func (a *Authority) Withdraw(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx)
	for {
		removed, err := a.withdraw(ctx)
		if err == nil {
			if removed {
				log.Info("removed the registration of the aggregated API, since the namespace is being deleted",
					"apiService", a.config.APIService)
			}
			return nil
		}
		if ctx.Err() == nil {
			log.Error(err, "the aggregated API stays registered, and no namespace can be deleted; will try again",
				"after", withdrawAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(withdrawAgain):
		}
	}
}

// withdraw makes one try, and reports whether this was what removed the registration.
func (a *Authority) withdraw(ctx context.Context) (removed bool, err error) {
	if a.config.APIService == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawWithin)
	defer cancel()
	var registration apiregistrationv1.APIService
	err = a.config.Client.Get(ctx, client.ObjectKey{Name: a.config.APIService}, &registration)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get API service %s: %w", a.config.APIService, err)
	}
	if to := registration.Spec.Service; to == nil || to.Namespace != a.config.Namespace {
		return false, nil
	}
	err = a.config.Client.Delete(ctx, &registration, client.Preconditions{UID: &registration.UID})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// Another replica was faster.
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete API service %s: %w", a.config.APIService, err)
	}
	return true, nil
}

// OwnerDeployment returns a reference to the Deployment, for Config.Owner: with it nothing is left behind when an
// installation goes.
func OwnerDeployment(ctx context.Context, reader client.Reader, namespace, name string) (*metav1.OwnerReference,
	error) {
	var deployment appsv1.Deployment
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &deployment); err != nil {
		return nil, fmt.Errorf("get deployment %s/%s, which is to own the certificates: %w", namespace, name, err)
	}
	return &metav1.OwnerReference{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment", Name: name,
		UID: deployment.UID}, nil
}
