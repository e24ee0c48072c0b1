package certificates

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
