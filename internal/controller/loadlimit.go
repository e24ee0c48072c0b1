package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// figuresEvery is how often it is looked how many agents and targets there are, figuresWithin how long that may take.
const (
	figuresEvery  = time.Minute
	figuresWithin = 30 * time.Second
)

// LoadLimitWriter keeps in a LoadLimit how many agents there are and how many targets each of them has, beside the
// limits, so that the API server can tell when a task is applied how much it would load them.
type LoadLimitWriter struct {
	// Snapshots tells what the cluster has right now.
	Snapshots interface {
		Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error)
	}
	// Client makes and patches the LoadLimit of the name.
	Client client.Client
	Name   string
	// PerAgent and Total are the limits in requests a second, 0 without a limit.
	PerAgent, Total int
	// Workload is the workload of the default agents.
	Workload topology.Workload
	Log      logr.Logger
}

// NeedLeaderElection is true: one writer is enough.
func (f *LoadLimitWriter) NeedLeaderElection() bool { return true }

// Start looks until the context is over.
func (f *LoadLimitWriter) Start(ctx context.Context) error {
	ticker := time.NewTicker(figuresEvery)
	defer ticker.Stop()
	for {
		if err := f.once(ctx); err != nil && ctx.Err() == nil {
			f.Log.Error(err, "keep the figures by which tasks above the limits are refused")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *LoadLimitWriter) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, figuresWithin)
	defer cancel()
	snapshot, err := f.Snapshots.Snapshot(ctx, f.Workload)
	if err != nil {
		return fmt.Errorf("take a snapshot of the cluster: %w", err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": f.spec(snapshot)}}
	object.SetGroupVersionKind(v1beta1.GroupVersion().WithKind("LoadLimit"))
	object.SetName(f.Name)
	object.SetLabels(map[string]string{"app.kubernetes.io/part-of": "kdoctor"})
	err = f.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership,
		client.FieldOwner(FieldOwner))
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

// spec has targets by the names of the fields of spec.target and the family, such as endpoint.ipv4. Those of node ports
// end in what nodePortAddresses and nodePortNodes say, where that is not the default: nodePortInternal, nodePortLocal,
// nodePortAllLocal.
func (f *LoadLimitWriter) spec(snapshot topology.Snapshot) map[string]any {
	spec, targets := map[string]any{"requestsPerSecondPerAgent": int64(f.PerAgent),
		"requestsPerSecond": int64(f.Total)}, map[string]any{}
	count := func(name string, want mesh.Want) {
		for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
			want.Families = []topology.Family{family}
			agents, most := mesh.Count(snapshot, want)
			spec["agents"] = int64(agents)
			targets[name+"."+strings.ToLower(string(family))] = int64(most)
		}
	}
	for _, row := range target.Kinds() {
		count(row.Field, mesh.Want{Kinds: []target.Kind{row.Kind}})
	}
	for _, by := range []target.Addresses{target.PrimaryAddress, target.InternalAddresses, target.AllAddresses} {
		suffix := ""
		if by != target.PrimaryAddress {
			suffix = string(by)
			count("nodePort"+suffix, mesh.Want{Kinds: []target.Kind{target.NodePort}, NodeAddresses: by})
		}
		count("nodePort"+suffix+"Local",
			mesh.Want{Kinds: []target.Kind{target.NodePort}, NodePorts: target.LocalNode, NodeAddresses: by})
	}
	spec["targetsPerAgent"] = targets
	return spec
}
