package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// housekeepingEvery is how often it is looked for what is missing, and what no task needs any more.
const housekeepingEvery = 20 * time.Second

// Front is what stands in front of agents, as housekeeping needs it.
type Front interface {
	Standard(ctx context.Context) (topology.Workload, error)
	EnsureStandard(ctx context.Context, want workload.Demand) (workload.RolloutStatus, error)
	// ReleaseStandard removes what was made in front of the default agents once nobody has asked for it for so long.
	ReleaseStandard(ctx context.Context, want workload.Demand, after time.Duration, now time.Time) error
	// Collect deletes agents of tasks that do not exist.
	Collect(ctx context.Context, exist map[string]bool) error
}

// Housekeeping makes the Services of the default agents, and removes what no task needs any more: agents of tasks that
// are gone, and load balancers and Ingresses that were made in front of the default agents on demand. Make it with
// NewHousekeeping and add it to the manager.
type Housekeeping struct {
	HousekeepingConfig
	due chan struct{}
}

// HousekeepingConfig is what Housekeeping works with.
type HousekeepingConfig struct {
	// Reader reads tasks.
	Reader client.Reader
	Kinds  []kind.Kind
	Front  Front
	// Always is what is kept in front of the default agents though no task asks for it.
	Always workload.Demand
	// Keep is how long a load balancer or Ingress stays after the last task that asks for it.
	Keep time.Duration
	Log  logr.Logger
}

// NewHousekeeping returns a housekeeping.
func NewHousekeeping(c HousekeepingConfig) *Housekeeping {
	return &Housekeeping{HousekeepingConfig: c, due: make(chan struct{}, 1)}
}

// NeedLeaderElection is true: two leaders would take away what the other one made.
func (h *Housekeeping) NeedLeaderElection() bool { return true }

// Soon has it looked at once.
func (h *Housekeeping) Soon() {
	select {
	case h.due <- struct{}{}:
	default:
	}
}

// Start looks at once, every 20 seconds, and when it is asked to, until the context is over.
func (h *Housekeeping) Start(ctx context.Context) error {
	ticker := time.NewTicker(housekeepingEvery)
	defer ticker.Stop()
	for {
		if err := h.once(ctx, time.Now()); err != nil && ctx.Err() == nil {
			h.Log.Error(err, "keep what stands in front of the agents")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-h.due:
		}
	}
}

func (h *Housekeeping) once(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, housekeepingEvery)
	defer cancel()
	if _, err := h.Front.EnsureStandard(ctx, h.Always); err != nil {
		return err
	}
	exist, want, err := h.look(ctx)
	if err != nil {
		return err
	}
	if err := h.Front.Collect(ctx, exist); err != nil {
		return err
	}
	return h.Front.ReleaseStandard(ctx, want, h.Keep, now)
}

// look reads which tasks there are, and what those that have not finished ask for.
func (h *Housekeeping) look(ctx context.Context) (exist map[string]bool, want workload.Demand, err error) {
	standard, err := h.Front.Standard(ctx)
	if err != nil {
		return nil, want, err
	}
	exist, want = map[string]bool{}, h.Always
	for _, of := range h.Kinds {
		list := of.NewList()
		if err := h.Reader.List(ctx, list); err != nil {
			return nil, want, fmt.Errorf("list the tasks of kind %s: %w", of.Name, err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object, ok := item.(kind.Object)
			if !ok {
				return fmt.Errorf("a %T is no task", item)
			}
			exist[string(object.GetUID())] = true
			task, err := of.Read(object)
			if err != nil || task.Deleting || task.Status.Finish && !specChanged(task) {
				// One that cannot be read asks for nothing, and hides no other.
				return nil //nolint:nilerr // The reconciler tells of it.
			}
			want = together(want, demandOf(task, standard))
			return nil
		})
		if err != nil {
			return nil, want, fmt.Errorf("read the tasks of kind %s: %w", of.Name, err)
		}
	}
	return exist, want, nil
}

// together is what one of both asks for.
func together(a, b workload.Demand) workload.Demand {
	all := workload.Demand{Ingress: a.Ingress || b.Ingress}
	for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
		if slices.Contains(a.LoadBalancer, family) || slices.Contains(b.LoadBalancer, family) {
			all.LoadBalancer = append(all.LoadBalancer, family)
		}
	}
	return all
}
