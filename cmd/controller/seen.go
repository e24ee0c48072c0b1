package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
)

// reports shows the aggregated API what the store keeps.
type reports struct{ *store.Store }

func (r reports) Latest(ctx context.Context, uid string) (render.Kept, bool, error) {
	kept, err := r.Store.Latest(ctx, uid)
	if errors.Is(err, store.ErrNotFound) {
		return render.Kept{}, false, nil
	}
	return render.Kept(kept), err == nil, err
}

func (r reports) Round(ctx context.Context, key schedule.Key) (render.Kept, bool, error) {
	kept, err := r.Store.Round(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return render.Kept{}, false, nil
	}
	return render.Kept(kept), err == nil, err
}

// tasks shows the aggregated API the tasks in the cache.
type tasks struct{ cache cache.Cache }

func (t tasks) List(ctx context.Context) ([]render.Task, error) {
	var list v1beta1.NetReachList
	if err := t.cache.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list the tasks of kind NetReach: %w", err)
	}
	var all []render.Task
	for _, n := range list.Items {
		all = append(all, taskOf(n))
	}
	return all, nil
}

// taskOf reads a task; a status of an earlier generation says nothing about this one. Reports belong to the generation with which their rounds began.
func taskOf(n v1beta1.NetReach) render.Task {
	t := render.Task{Kind: "NetReach", Name: n.Name, UID: string(n.UID), Created: n.CreationTimestamp.Time, Generation: n.Generation}
	if n.Spec.Schedule != nil {
		t.ExpectedRounds = n.Spec.Schedule.RoundNumber
	}
	if n.Status.ObservedGeneration != n.Generation {
		return t
	}
	t.Generation = n.Status.RoundsGeneration
	t.Finished = n.Status.Finish
	if n.Status.DoneRound != nil {
		t.DoneRounds = *n.Status.DoneRound
	}
	for _, record := range slices.Backward(n.Status.History) {
		if record.Status == v1beta1.RecordFail {
			t.FailedRounds = append(t.FailedRounds, record.RoundNumber)
		}
	}
	return t
}

func (t tasks) Watch(ctx context.Context, changed func()) error {
	informer, err := t.cache.GetInformer(ctx, &v1beta1.NetReach{})
	if err != nil {
		return fmt.Errorf("watch the tasks of kind NetReach: %w", err)
	}
	handle, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return fmt.Errorf("watch the tasks of kind NetReach: %w", err)
	}
	<-ctx.Done()
	_ = informer.RemoveEventHandler(handle)
	return ctx.Err()
}
