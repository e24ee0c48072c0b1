package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kube/reach"
)

// errOutOfReach is why a leader ends that the API server does not reach.
var errOutOfReach = errors.New("the API server does not reach this replica")

// runInReach runs the manager until the context is over, or until this replica leads and the API server does not reach
// it while another replica could lead. The process ends then, as it does when the lease is lost.
func runInReach(ctx context.Context, mgr ctrl.Manager, o *options, cluster *rest.Config, direct client.Client,
	owner *metav1.OwnerReference) error {
	running, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	held := client.ObjectKey{Namespace: o.namespace, Name: lease}
	// Without a registration of ours the API server need not lead to this installation.
	if o.elect && o.register && o.pod != "" && owner != nil {
		ask, err := reach.Through(cluster, systemv1beta1.GroupVersion().String())
		if err != nil {
			return err
		}
		prover := &reach.Prover{Ask: ask, Client: direct, Lease: held, Pod: o.pod,
			Replicas: map[string]string{"app.kubernetes.io/component": "kdoctor-controller"},
			Tell:     tellOn(direct, o, owner), GiveUp: func() { giveUp(errOutOfReach) }}
		if err := mgr.Add(prover); err != nil {
			return fmt.Errorf("add the proof that the leader is reached: %w", err)
		}
	}
	err := mgr.Start(running)
	if errors.Is(context.Cause(running), errOutOfReach) {
		reach.StandBack(ctx, direct, held)
	}
	return err
}

// tellOn returns a way to make events on the Deployment of the controllers. Events of the manager are sent later, and
// would be lost: it ends within a second.
func tellOn(direct client.Client, o *options, owner *metav1.OwnerReference) func(context.Context, string) error {
	return func(ctx context.Context, sentence string) error {
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, GenerateName: owner.Name + "-"},
			InvolvedObject: corev1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind,
				Namespace: o.namespace, Name: owner.Name, UID: owner.UID},
			Type: corev1.EventTypeWarning, Reason: "LeaderOutOfReach", Action: "GiveUpLease", Message: sentence,
			EventTime: metav1.NowMicro(), ReportingController: controller.FieldOwner, ReportingInstance: o.pod}
		if err := direct.Create(ctx, event); err != nil {
			return fmt.Errorf("make an event: %w", err)
		}
		return nil
	}
}
