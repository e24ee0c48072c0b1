package main

import (
	"testing"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestTheLeaseThatTheElectionMadeGoesWithTheInstallation(t *testing.T) {
	key := client.ObjectKey{Namespace: "kdoctor", Name: lease}
	holder := "a"
	made := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(made).Build()
	marks := &leaseMarks{client: api, key: key, owner: metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment",
		Name: "kdoctor-controller", UID: "d"}, labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"},
		annotations: map[string]string{"meta.helm.sh/release-name": "kdoctor"}, log: logr.Discard()}
	var versions []string
	for range 2 {
		if err := marks.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		var found coordinationv1.Lease
		if err := api.Get(t.Context(), key, &found); err != nil {
			t.Fatal(err)
		}
		if len(found.OwnerReferences) != 1 || found.OwnerReferences[0].UID != "d" ||
			found.Labels["app.kubernetes.io/managed-by"] != "Helm" ||
			found.Annotations["meta.helm.sh/release-name"] != "kdoctor" || *found.Spec.HolderIdentity != holder {
			t.Errorf("the lease is %+v", found)
		}
		versions = append(versions, found.ResourceVersion)
	}
	if versions[0] != versions[1] {
		t.Error("a lease that is marked is written again")
	}
	if err := api.Delete(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if err := marks.once(t.Context()); err != nil {
		t.Errorf("without a lease: %v", err)
	}
}
