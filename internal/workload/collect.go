package workload

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// Collect deletes the agents of tasks that do not exist, given the UIDs of those that do.
func (k *Keeper) Collect(ctx context.Context, exist map[string]bool) error {
	seen, err := k.listNamespace(ctx)
	if err != nil {
		return err
	}
	for i := range seen.sets {
		if err := k.collect(ctx, topology.DaemonSet, &seen.sets[i], exist); err != nil {
			return err
		}
	}
	for i := range seen.deployments {
		if err := k.collect(ctx, topology.Deployment, &seen.deployments[i], exist); err != nil {
			return err
		}
	}
	return nil
}

// collect deletes one workload of a task that does not exist. Only what bears our annotations is looked at: what
// release 0.1.0 made goes with its task by itself.
func (k *Keeper) collect(ctx context.Context, kind string, workload client.Object, exist map[string]bool) error {
	uid := workload.GetAnnotations()[taskUIDAnnotation]
	if uid == "" || exist[uid] || workload.GetLabels()[componentLabel] != component {
		return nil
	}
	return k.delete(ctx, kind, workload)
}
