package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/verdict"
)

// reports shows the aggregated API, and what runs rounds, what the store keeps.
type reports struct{ *store.Store }

func (r reports) LatestKey(ctx context.Context, uid string) (schedule.Key, bool, error) {
	key, err := r.Store.LatestKey(ctx, uid)
	if errors.Is(err, store.ErrNotFound) {
		return schedule.Key{}, false, nil
	}
	return key, err == nil, err
}

// led shows the aggregated API of a replica what the store keeps. Nobody tells it what another replica has written
// meanwhile, so all is looked at again when it begins to lead.
type led struct {
	reports

	elected <-chan struct{}
}

// Watch is the store's Watch, and calls changed once more without UIDs when the replica begins to lead.
func (l led) Watch(ctx context.Context, changed func(uids []string)) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return l.reports.Watch(ctx, changed) })
	both.Go(func() error {
		select {
		case <-l.elected:
			changed(nil)
		case <-ctx.Done():
		}
		return nil
	})
	return both.Wait()
}

// Findings returns what a stored round found. Rounds of many paths have it in their heads; others are diagnosed again.
func (r reports) Findings(ctx context.Context, key schedule.Key) ([]report.Finding, error) {
	head, err := r.Head(ctx, key)
	if err == nil && head.Round.HasSums() {
		return head.Round.Findings, nil
	}
	var stored verdict.StoredRound
	if err == nil {
		stored, err = r.Store.Round(ctx, key)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return diagnose.Findings(stored.Round, stored.Verdict), nil
}

// Abandoned shows the sweep what may go.
func (r reports) Abandoned(ctx context.Context, exist map[string]bool) ([]string, int, error) {
	found, err := r.Store.Abandoned(ctx, exist)
	return found.UIDs, found.Foreign, err
}

func (r reports) Round(ctx context.Context, key schedule.Key) (verdict.StoredRound, bool, error) {
	round, err := r.Store.Round(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return verdict.StoredRound{}, false, nil
	}
	return round, err == nil, err
}

// Parts returns a stored round without its agents, which are read one by one.
func (r reports) Parts(ctx context.Context, key schedule.Key) (apiserver.Parts, bool, error) {
	head, err := r.Head(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return apiserver.Parts{}, false, nil
	}
	if err != nil {
		return apiserver.Parts{}, false, err
	}
	counts := head.Summary
	return apiserver.Parts{
		Head: verdict.StoredRound{Round: head.Round, Verdict: head.Verdict, Spec: head.Spec},
		Counts: render.Counts{Reported: counts.Reports, Agents: counts.Agents, Paths: counts.Paths,
			Planned: counts.Planned, Listed: counts.Listed, Summed: counts.Summed,
			SummedNotPassed: counts.SummedNotPassed},
		Agents: func(want func(pod, node string) bool) iter.Seq2[apiserver.Agent, error] {
			return func(yield func(apiserver.Agent, error) bool) {
				for a, err := range r.Agents(ctx, key, want) {
					if !yield(apiserver.Agent{Report: a.Report, Verdict: a.Verdict}, err) {
						return
					}
				}
			}
		},
	}, true, nil
}

// tasks shows the aggregated API the tasks of all kinds in the cache.
type tasks struct{ cache cache.Cache }

func (t tasks) List(ctx context.Context) ([]render.ReportedTask, error) {
	var all []render.ReportedTask
	for _, of := range kinds.All() {
		list := of.NewList()
		if err := t.cache.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list the tasks of kind %s: %w", of.Name, err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object, _ := item.(kind.Object)
			read, err := of.Read(object)
			if err == nil {
				all = append(all, shown(read))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the tasks of kind %s: %w", of.Name, err)
		}
	}
	return all, nil
}

// shown is what reports say of a task. A status of an earlier generation says nothing about this one. Reports belong to
// the generation with which their rounds began.
func shown(of kind.Task) render.ReportedTask {
	t := render.ReportedTask{Kind: of.Kind, Name: of.Name, UID: of.UID, Created: of.Created, Generation: of.Generation,
		ExpectedRounds: of.Rounds}
	if of.Status.ObservedGeneration != of.Generation {
		return t
	}
	t.Generation = of.Status.RoundsGeneration
	t.Finished = of.Status.Finish
	if of.Status.DoneRound != nil {
		t.DoneRounds = *of.Status.DoneRound
	}
	for _, record := range slices.Backward(of.Status.History) {
		if record.Status == v1beta1.RecordFail {
			t.FailedRounds = append(t.FailedRounds, record.RoundNumber)
		}
	}
	return t
}

// Watch calls changed whenever a task of any kind is made, changed or deleted, until the context is over.
func (t tasks) Watch(ctx context.Context, changed func()) error {
	var stops []func() error
	defer func() {
		for _, stop := range stops {
			_ = stop()
		}
	}()
	for _, of := range kinds.All() {
		informer, err := t.cache.GetInformer(ctx, of.New())
		if err != nil {
			return fmt.Errorf("watch the tasks of kind %s: %w", of.Name, err)
		}
		handle, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
		if err != nil {
			return fmt.Errorf("watch the tasks of kind %s: %w", of.Name, err)
		}
		stops = append(stops, func() error { return informer.RemoveEventHandler(handle) })
	}
	<-ctx.Done()
	return ctx.Err()
}
