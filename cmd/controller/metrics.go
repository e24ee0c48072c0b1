package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	runtimemetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/kube/certificates"
	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/verdict"
	"kdoctor.io/kdoctor/internal/version"
)

// metricsServer serves /metrics over TLS to callers whom the API server knows and who may get the path.
func metricsServer(port int, serving *certificates.Serving) server.Options {
	return server.Options{
		BindAddress:    fmt.Sprintf(":%d", port),
		SecureServing:  true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion, c.GetCertificate = tls.VersionTLS12, serving.Certificate
		}},
	}
}

// observed runs rounds, and tells the metrics what they and the store do.
type observed struct {
	*metrics.Collector
	kept *store.Store
	run  func(context.Context, round.Request) (verdict.StoredRound, error)
}

// addMetrics registers the metrics, and has the newest stored rounds shown once this controller leads.
func addMetrics(ctx context.Context, mgr ctrl.Manager, authority *certificates.Authority, kept *store.Store,
	run func(context.Context, round.Request) (verdict.StoredRound, error)) (*observed, error) {
	all := tasks{mgr.GetCache()}
	if _, err := mgr.GetCache().GetInformer(ctx, someNode(), cache.BlockUntilSynced(false)); err != nil {
		return nil, fmt.Errorf("watch the nodes: %w", err)
	}
	seen := &observed{kept: kept, run: run, Collector: metrics.New(metrics.Config{
		Leading: func() bool {
			select {
			case <-mgr.Elected():
				return true
			default:
				return false
			}
		},
		Tasks: all.measured, Nodes: nodeNames(mgr.GetCache()), Certificates: authority.Expiry, Build: build(),
	})}
	if err := runtimemetrics.Registry.Register(seen.Collector); err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	restored := restore{seen: seen, tasks: all.measured, log: mgr.GetLogger().WithName("metrics")}
	if err := mgr.Add(restored); err != nil {
		return nil, fmt.Errorf("add the metrics: %w", err)
	}
	return seen, nil
}

// Run runs a round; it is a controller.Runner.
func (o *observed) Run(ctx context.Context, req round.Request) (controller.Summary, error) {
	o.Begin(req.Key)
	done, err := o.run(ctx, req)
	if ctx.Err() != nil {
		o.Withdraw(req.Key)
		return controller.Summarize(done.Round, done.Verdict), err
	}
	o.End(req.Key, done, time.Now())
	if done.Verdict.Result != "" {
		err = o.failed(metrics.Write, err)
	}
	return controller.Summarize(done.Round, done.Verdict), err
}

// failed counts the error of a call to the store, if there is one, and returns it.
func (o *observed) failed(what metrics.Operation, err error) error {
	if err != nil {
		o.Failed(what)
	}
	return err
}

// restore has the newest stored round of each task shown, as soon as this controller leads.
type restore struct {
	seen  *observed
	tasks func(context.Context) ([]metrics.Task, error)
	log   logr.Logger
}

// Start returns once all are shown: what cannot be read is shown when its next round is over.
func (r restore) Start(ctx context.Context) error {
	tasks, err := r.tasks(ctx)
	if err != nil {
		r.log.Error(err, "the metrics of rounds of before are not shown")
		return nil
	}
	for _, t := range tasks {
		if err := r.one(ctx, t.UID); err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			_ = r.seen.failed(metrics.Read, err)
			r.log.Error(err, "the metrics of the last round are not shown", "task", t.Name)
		}
	}
	return nil
}

// NeedLeaderElection is true: only the leader exposes what is about tasks.
func (restore) NeedLeaderElection() bool { return true }

// one shows the newest stored round of a task. A large one is read agent by agent.
func (r restore) one(ctx context.Context, uid string) error {
	key, err := r.seen.kept.LatestKey(ctx, uid)
	if err != nil {
		return err
	}
	head, err := r.seen.kept.Head(ctx, key)
	if err != nil {
		return err
	}
	if !head.Round.HasSums() {
		stored, err := r.seen.kept.Round(ctx, key)
		if err != nil {
			return err
		}
		r.seen.Restore(metrics.RestoreWhole(stored))
		return nil
	}
	restored := metrics.NewRestored(&head.Round, head.Verdict)
	for a, err := range r.seen.kept.Agents(ctx, key, nil) {
		if err != nil {
			return err
		}
		if a.Report != nil && a.Verdict != nil {
			restored.Add(a.Report, a.Verdict)
		}
	}
	r.seen.Restore(restored)
	return nil
}

// measured returns what the metrics need of all tasks.
func (t tasks) measured(ctx context.Context) ([]metrics.Task, error) {
	var all []metrics.Task
	for _, of := range kinds.All() {
		list := of.NewList()
		if err := t.cache.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list the tasks of kind %s: %w", of.Name, err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object, _ := item.(kind.Object)
			read, err := of.Read(object)
			if err == nil {
				all = append(all, measuredTask(read))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the tasks of kind %s: %w", of.Name, err)
		}
	}
	return all, nil
}

// measuredTask says when rounds of the task were and will be.
func measuredTask(t kind.Task) metrics.Task {
	m := metrics.Task{Kind: t.Kind, Name: t.Name, UID: t.UID, Created: t.Created, Timeout: t.Timeout}
	m.Missed = meta.IsStatusConditionFalse(t.Status.Conditions, controller.OnTime)
	var last *v1beta1.Record
	for i := range t.Status.History {
		if r := &t.Status.History[i]; r.EndTimeStamp != nil {
			last, m.Finished = r, r.EndTimeStamp.Time
			break
		}
	}
	timetable, err := t.Timetable()
	if err != nil || t.Suspended || t.Deleting || t.Status.Finish {
		return m
	}
	first := timetable.First(t.Created)
	switch {
	case last != nil:
		m.Interval = timetable.Interval(last.StartTimeStamp.Time)
	case !first.IsZero():
		m.Interval = first.Sub(t.Created)
	}
	switch history := t.Status.History; {
	case len(history) > 0:
		m.Due = history[0].DeadLineTimeStamp.Time
	case !first.IsZero():
		m.Due = first.Add(t.Timeout)
	}
	return m
}

// someNode is a node of which only the metadata is read.
func someNode() *metav1.PartialObjectMetadata {
	node := &metav1.PartialObjectMetadata{}
	node.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Node"})
	return node
}

// nodeNames returns the names of the nodes in the cache.
func nodeNames(reader cache.Cache) func(context.Context) (map[string]bool, error) {
	return func(ctx context.Context) (map[string]bool, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "NodeList"})
		if err := reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list the nodes: %w", err)
		}
		names := make(map[string]bool, len(list.Items))
		for i := range list.Items {
			names[list.Items[i].Name] = true
		}
		return names, nil
	}
}

// build says what this program was built from, as far as the Go toolchain noted it.
func build() metrics.Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return metrics.Build{Version: version.Release()}
	}
	b := metrics.Build{Version: version.Release(), GoVersion: info.GoVersion}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Revision = setting.Value
		}
	}
	return b
}
