package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// The API server refuses an event that lacks one of these.
func TestTheEventOfALeaderThatGivesUpIsWhole(t *testing.T) {
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	tell := tellOn(api, &options{namespace: "kdoctor", pod: "pod-a"}, &metav1.OwnerReference{APIVersion: "apps/v1",
		Kind: "Deployment", Name: "kdoctor-controller", UID: "d"})
	if err := tell(t.Context(), "one sentence"); err != nil {
		t.Fatal(err)
	}
	var all corev1.EventList
	if err := api.List(t.Context(), &all, client.InNamespace("kdoctor")); err != nil || len(all.Items) != 1 {
		t.Fatalf("%d events, %v; want one", len(all.Items), err)
	}
	event := all.Items[0]
	if of := event.InvolvedObject; of.Kind != "Deployment" || of.Name != "kdoctor-controller" || of.UID != "d" ||
		of.Namespace != event.Namespace {
		t.Errorf("the event is about %+v", of)
	}
	if event.Message != "one sentence" || event.Reason != "LeaderOutOfReach" || event.Action == "" ||
		event.Type != corev1.EventTypeWarning || event.EventTime.IsZero() || event.ReportingController == "" ||
		event.ReportingInstance != "pod-a" {
		t.Errorf("the event is %+v", event)
	}
}
