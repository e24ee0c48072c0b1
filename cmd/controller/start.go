package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"kdoctor.io/kdoctor/internal/apiserver"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/certificates"
	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/version"
	"kdoctor.io/kdoctor/internal/workload"
)

const (
	// registration is the APIService of the aggregated API.
	registration = "v1beta1.system.kdoctor.io"
	// lease is the name of the leader's lease.
	lease = "kdoctor-controller"
	// handOver is how long the controller may take to end; the agents go on without it.
	handOver = 20 * time.Second
)

// start puts the controller together, from the cluster at the bottom to the servers at the top, and runs it until the
// context is over.
func start(ctx context.Context, o *options, cluster *rest.Config, log logr.Logger) (err error) {
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	ctx = logr.NewContext(ctx, log)
	limitMemory(log)
	released := releaseStart(log)
	// For each kind of object. While agents of tasks' own start, each task reads a list of five kinds every two
	// seconds.
	cluster.QPS, cluster.Burst = 100, 200

	direct, err := kube.NewClient(cluster)
	if err != nil {
		return err
	}
	authority, owner, err := certify(ctx, o, direct)
	if err != nil {
		return err
	}
	mgr, err := newManager(o, cluster, authority.Serving(), log)
	if err != nil {
		return err
	}
	keep, err := keeper(o, direct, owner)
	if err != nil {
		return err
	}
	if err := addLeaseMarks(mgr, o, direct, owner, keep); err != nil {
		return err
	}
	kept, err := store.Open(ctx, o.reports)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	installation, err := installationOf(ctx, direct, o.namespace)
	if err != nil {
		return err
	}
	kept.OwnedBy(installation)
	forward, err := control.NewPortForwarder(cluster)
	if err != nil {
		return err
	}
	// Both ways together fit into the time that the conductor gives a call.
	agents := control.New(control.Config{TLS: authority.ClientTLS, Forward: forward, ForwardTimeout: 10 * time.Second,
		CallTimeout: 8 * time.Second})
	defer func() { err = errors.Join(err, agents.Close()) }()
	budget := controller.NewBudget(o.limits.perAgent, o.limits.total)
	snapshots := inventory.New(mgr.GetAPIReader(), o.namespace).WithLadder(o.ladder(os.Getenv))
	conductor := round.New(round.Config{
		Snapshots: snapshots,
		Agents:    agents, Ladder: agents, Plans: kept, Rounds: kept, Unknown: control.ErrUnknownRound,
		Budget: budget, Again: kept.Again, Past: controller.Past(kept, log), Release: version.Release(),
		Record: recorder(o.record, log),
	})
	// The aggregated API reads tasks on every replica, also where no controller runs that would have them watched.
	for _, of := range kinds.All() {
		if _, err := mgr.GetCache().GetInformer(ctx, of.New(), cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch the tasks of kind %s: %w", of.Name, err)
		}
	}
	seen, err := addMetrics(ctx, mgr, authority, kept, conductor.Run)
	if err != nil {
		return err
	}
	if err := addControllers(mgr, o, seen, budget, keep); err != nil {
		return err
	}
	if err := addFigures(mgr, o, snapshots, keep); err != nil {
		return err
	}
	if err := addLeaderParts(mgr, o, direct, kept); err != nil {
		return err
	}
	if err := watchNamespace(ctx, mgr, authority); err != nil {
		return err
	}
	api := apiserver.Config{Port: o.apiPort, Certificate: authority.Serving(), ClientConfig: cluster,
		Reports: led{reports{kept}, mgr.Elected()}, Tasks: tasks{mgr.GetCache()}}
	for _, part := range []everyReplica{
		released,
		authority.Run,
		func(ctx context.Context) error { return apiserver.Run(ctx, api) },
	} {
		if err := mgr.Add(part); err != nil {
			return fmt.Errorf("add a part: %w", err)
		}
	}
	return runInReach(ctx, mgr, o, cluster, direct, owner)
}

// newManager returns a manager that watches tasks and the names of nodes: the rest of the cluster is read when a round
// starts, as it is then.
func newManager(o *options, cluster *rest.Config, serving *certificates.Serving, log logr.Logger) (ctrl.Manager,
	error) {
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, err
	}
	within := handOver
	mgr, err := ctrl.NewManager(cluster, withElection(ctrl.Options{
		Scheme: scheme, Logger: log,
		Cache: cache.Options{ReaderFailOnMissingInformer: true, ByObject: onlyOwnNamespace(o),
			DefaultTransform: cache.TransformStripManagedFields()},
		Metrics:                 metricsServer(o.metricsPort, serving),
		HealthProbeBindAddress:  fmt.Sprintf(":%d", o.healthPort),
		GracefulShutdownTimeout: &within,
	}, o))
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	err = errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("tasks", func(req *http.Request) error {
			ctx, cancel := context.WithTimeout(req.Context(), time.Second)
			defer cancel()
			if !mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the tasks have not been read yet")
			}
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("add health checks: %w", err)
	}
	return mgr, nil
}

// certify makes or reads the installation's certificates; an API server that is slow to answer is given a minute.
// The Deployment is returned that owns them.
func certify(ctx context.Context, o *options, direct client.Client) (*certificates.Authority, *metav1.OwnerReference,
	error) {
	owner, err := certificates.OwnerDeployment(ctx, direct, o.namespace, o.apiService)
	if err != nil {
		return nil, nil, err
	}
	config := certificates.Config{Client: direct, Namespace: o.namespace, Service: o.apiService, Owner: owner}
	if o.register {
		config.APIService = registration
	}
	authority := certificates.New(config)
	if err := patiently(ctx, authority.Ensure); err != nil {
		return nil, nil, fmt.Errorf("ensure the certificates: %w", err)
	}
	return authority, owner, nil
}

// patiently tries something until it succeeds, for a minute at most.
func patiently(ctx context.Context, try func(context.Context) error) error {
	const tries, pause = 12, 5 * time.Second
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || n == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// installationOf names the installation by the cluster, whose identity is that of the namespace kube-system, and the
// installation's own namespace.
func installationOf(ctx context.Context, direct client.Client, namespace string) (string, error) {
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := patiently(ctx, func(ctx context.Context) error {
		return direct.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)
	})
	if err != nil {
		return "", fmt.Errorf("read the namespace %s, whose UID names the cluster: %w", metav1.NamespaceSystem, err)
	}
	return string(system.GetUID()) + "/" + namespace, nil
}

// addControllers adds what only the leader runs: rounds, the sweep of what is kept, and one reconciler a kind.
func addControllers(mgr ctrl.Manager, o *options, seen *observed, budget *controller.Budget,
	agents *workload.Keeper) error {
	housekeeping, err := addHousekeeping(mgr, o, agents)
	if err != nil {
		return err
	}
	rounds := controller.NewRounds(seen.Run, reports{seen.kept}, mgr.GetLogger().WithName("rounds"))
	sweep := &controller.Sweep{
		Reader: mgr.GetAPIReader(), Scheme: mgr.GetScheme(), Kinds: kinds.All(), Keeper: reports{seen.kept},
		Log: mgr.GetLogger().WithName("sweep"),
		Prune: func(ctx context.Context) error {
			return seen.failed(metrics.Prune, seen.kept.Prune(ctx, o.retention))
		},
	}
	if err := errors.Join(mgr.Add(rounds), mgr.Add(sweep)); err != nil {
		return fmt.Errorf("add the rounds: %w", err)
	}
	if err := addNodeConditions(mgr, o.nodeCondition, rounds); err != nil {
		return err
	}
	for _, of := range kinds.All() {
		reconciler := controller.New(controller.Config{
			Kind: of, Client: mgr.GetClient(), Rounds: rounds, Agents: agents,
			Events: mgr.GetEventRecorder(controller.FieldOwner), Expect: budget.Expect, Gone: housekeeping.Soon,
		})
		if err := reconciler.Register(mgr); err != nil {
			return err
		}
	}
	return nil
}

// everyReplica is a part that every replica runs, whether it leads or not.
type everyReplica func(ctx context.Context) error

func (a everyReplica) Start(ctx context.Context) error { return a(ctx) }

func (everyReplica) NeedLeaderElection() bool { return false }
