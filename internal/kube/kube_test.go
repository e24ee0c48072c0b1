package kube_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	taskv1beta1 "kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kube"
)

func TestTheSchemeKnowsEveryKindThatWeUse(t *testing.T) {
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []runtime.Object{
		&corev1.Pod{}, &corev1.Secret{}, &appsv1.DaemonSet{}, &networkingv1.Ingress{}, &apiregistrationv1.APIService{},
		&taskv1beta1.NetReach{}, &systemv1beta1.KdoctorReport{},
	} {
		if _, _, err := scheme.ObjectKinds(object); err != nil {
			t.Errorf("%T: %v", object, err)
		}
	}
}
