package main

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kube"
)

// What is done about the condition KdoctorNetworkProblem of nodes.
const (
	// set keeps it by what rounds find, remove takes it away from all nodes; never leaves it alone.
	set    = "Set"
	remove = "Clear"
)

// checkNodeCondition refuses what is none of them.
func checkNodeCondition(mode string) error {
	if !slices.Contains([]string{never, set, remove}, mode) {
		return fmt.Errorf("--node-condition is %q; use %s, %s or %s", mode, never, set, remove)
	}
	return nil
}

// addNodeConditions has the leader keep the condition of nodes by what rounds find, or take it away.
func addNodeConditions(mgr ctrl.Manager, mode string, rounds *controller.Rounds) error {
	if mode == never {
		return nil
	}
	direct, err := kube.NewClient(mgr.GetConfig())
	if err != nil {
		return err
	}
	nodes := controller.NewNodeConditions(controller.NodeConditionsConfig{Client: direct, Clear: mode == remove,
		Log: mgr.GetLogger().WithName("nodes"),
		Nodes: func(ctx context.Context) (map[string]types.UID, error) {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "NodeList"})
			if err := mgr.GetCache().List(ctx, list); err != nil {
				return nil, fmt.Errorf("list the nodes: %w", err)
			}
			uids := make(map[string]types.UID, len(list.Items))
			for i := range list.Items {
				uids[list.Items[i].Name] = list.Items[i].UID
			}
			return uids, nil
		}})
	if mode == set {
		rounds.Observed(nodes)
	}
	if err := mgr.Add(nodes); err != nil {
		return fmt.Errorf("add the conditions of nodes: %w", err)
	}
	return nil
}
