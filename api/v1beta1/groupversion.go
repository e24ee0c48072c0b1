// Package v1beta1 holds the kinds of tasks that a cluster admin applies.
//
// +kubebuilder:object:generate=true
// +groupName=kdoctor.io
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of all kinds of this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "kdoctor.io", Version: "v1beta1"}
}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &NetReach{}, &NetReachList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
