package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"kdoctor.io/kdoctor/internal/kind"
)

// sweepEvery is how often kept data is looked through.
const sweepEvery = time.Hour

// Keeper is the store as the sweep sees it.
type Keeper interface {
	// Tasks returns the UIDs of all tasks of which something is kept.
	Tasks(ctx context.Context) ([]string, error)
	// Abandoned returns those that may be deleted, given the tasks that exist, and how many it leaves alone because
	// nothing says that they are this installation's.
	Abandoned(ctx context.Context, exist map[string]bool) (uids []string, foreign int, err error)
	// DeleteTask removes all that is kept of a task.
	DeleteTask(ctx context.Context, uid string) error
}

// Sweep removes what is kept of tasks that no longer exist, at the start and every hour, and applies the retention.
// It takes the place of a finalizer, so that a controller that is down blocks no deletion. What bears the mark of
// another installation, or was written within the last day, stays.
type Sweep struct {
	// Reader asks the API server itself: what a cache does not show yet would be lost.
	Reader client.Reader
	Scheme *runtime.Scheme
	Kinds  []kind.Kind
	Keeper Keeper
	// Prune applies the retention to what stays.
	Prune func(ctx context.Context) error
	Log   logr.Logger
}

// NeedLeaderElection is true: the store belongs to the leader.
func (s *Sweep) NeedLeaderElection() bool { return true }

// Start sweeps until the context is over.
func (s *Sweep) Start(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.once(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error(err, "sweep the kept reports")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// once reads the store before the API server: a task that is made in between is then in neither list.
func (s *Sweep) once(ctx context.Context) error {
	kept, err := s.Keeper.Tasks(ctx)
	if err != nil {
		return fmt.Errorf("list what is kept: %w", err)
	}
	if len(kept) == 0 {
		return nil
	}
	exist, err := s.existing(ctx)
	if err != nil {
		return err
	}
	abandoned, foreign, err := s.Keeper.Abandoned(ctx, exist)
	if err != nil {
		return fmt.Errorf("find what is kept of tasks that are gone: %w", err)
	}
	if foreign > 0 {
		s.Log.Info("reports are left alone that are not marked as this installation's", "tasks", foreign)
	}
	for _, uid := range abandoned {
		if err := s.Keeper.DeleteTask(ctx, uid); err != nil {
			return fmt.Errorf("delete what is kept of a task that is gone: %w", err)
		}
		s.Log.Info("removed what was kept of a task that is gone", "uid", uid)
	}
	if err := s.Prune(ctx); err != nil {
		return fmt.Errorf("apply the retention: %w", err)
	}
	return nil
}

// existing returns the UIDs of all tasks of all kinds.
func (s *Sweep) existing(ctx context.Context) (map[string]bool, error) {
	uids := map[string]bool{}
	for _, of := range s.Kinds {
		gvk, err := apiutil.GVKForObject(of.New(), s.Scheme)
		if err != nil {
			return nil, fmt.Errorf("find the kind %s: %w", of.Name, err)
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := s.Reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list the tasks of kind %s: %w", of.Name, err)
		}
		err = meta.EachListItem(list, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			if err == nil {
				uids[string(object.GetUID())] = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the tasks of kind %s: %w", of.Name, err)
		}
	}
	return uids, nil
}
