// Package kube joins the programs to a cluster: the scheme of all kinds that they read or write, and clients that use
// it.
package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	taskv1beta1 "kdoctor.io/kdoctor/api/v1beta1"
)

// Scheme returns a new scheme with our own kinds and those of Kubernetes that we use: core, apps, networking and API
// registration.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, discoveryv1.AddToScheme,
		apiregistrationv1.AddToScheme,
		taskv1beta1.AddToScheme, systemv1beta1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build the scheme: %w", err)
		}
	}
	return scheme, nil
}

// NewClient returns a client without a cache: each read asks the API server, and no kind needs to be listed or watched.
func NewClient(config *rest.Config) (client.Client, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return direct, nil
}
