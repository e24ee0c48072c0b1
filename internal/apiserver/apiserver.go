// Package apiserver serves KdoctorReport and KdoctorPath of system.kdoctor.io/v1beta1 behind the Kubernetes API
// server's aggregation layer. It keeps no state of its own: reports are rendered from stored rounds, and the last ones
// are remembered.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/segment"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Reports is where rounds are stored.
type Reports interface {
	// LatestKey returns the key of the latest finished round of a task; false when none is stored.
	LatestKey(ctx context.Context, uid string) (schedule.Key, bool, error)
	// Rounds returns the keys of all stored rounds of a task, by generation and number; none is no error.
	Rounds(ctx context.Context, uid string) ([]schedule.Key, error)
	// Round returns a stored round; false when it is not kept.
	Round(ctx context.Context, key schedule.Key) (verdict.StoredRound, bool, error)
	// Parts returns a stored round without its agents, which are read one by one; false when it is not kept.
	Parts(ctx context.Context, key schedule.Key) (Parts, bool, error)
	// Watch calls changed with the UIDs of tasks whose rounds changed, until the context is over, and returns its
	// error. It calls changed once with no UIDs as soon as no change can be missed any more.
	Watch(ctx context.Context, changed func(uids []string)) error
}

// Parts is a stored round whose agents are read one by one.
type Parts struct {
	// Head is the round without its agents, and without the names of targets and backends.
	Head   verdict.StoredRound
	Counts render.Counts
	// Agents returns the agents in their order, as many as want chooses by pod and node; want is called in the same
	// order. An error comes last.
	Agents func(want func(pod, node string) bool) iter.Seq2[Agent, error]
}

// Agent is one agent's part in a stored round. Either is nil if it is not stored.
type Agent struct {
	Report  *report.AgentReport
	Verdict *verdict.JudgedAgent
}

// Tasks are the tasks of all kinds.
type Tasks interface {
	// List returns all tasks. It is called often and ought to read a cache.
	List(ctx context.Context) ([]render.ReportedTask, error)
	// Watch calls changed when a task is made, changes or is deleted, until the context is over, and returns its error.
	Watch(ctx context.Context, changed func()) error
}

// Certificate is the serving certificate as it is now.
type Certificate interface {
	// Name says in logs where the certificate comes from.
	Name() string
	// CurrentCertKeyContent returns the certificate chain and its key in PEM. It is called on every change and once a
	// minute.
	CurrentCertKeyContent() (cert, key []byte)
	// AddListener registers a listener for changes. It may do nothing; then a change is found within a minute.
	AddListener(dynamiccertificates.Listener)
}

// Config is what Run needs.
type Config struct {
	// Listener takes precedence; without it the server listens on Port on all addresses, 1..65535.
	Listener net.Listener
	Port     int
	// Certificate is the serving certificate; it may be replaced while the server runs.
	Certificate Certificate
	// ClientConfig leads to the API server that says who a caller is and what it may do.
	ClientConfig *rest.Config
	Reports      Reports
	Tasks        Tasks
}

// validate says what is missing.
func (c Config) validate() error {
	switch {
	case c.Listener == nil && (c.Port < 1 || c.Port > 65535):
		return fmt.Errorf("port %d is out of the range 1..65535", c.Port)
	case c.Certificate == nil:
		return errors.New("no certificate")
	case c.ClientConfig == nil:
		return errors.New("no client configuration")
	case c.Reports == nil || c.Tasks == nil:
		return errors.New("no reports or no tasks")
	}
	return nil
}

// Run serves until the context is over, then waits for the requests that are under way. It logs to the context's
// logger.
func Run(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("aggregated API: %w", err)
	}
	access, err := delegate(c.ClientConfig)
	if err != nil {
		return fmt.Errorf("aggregated API: %w", err)
	}
	if err := serve(ctx, c, access); err != nil {
		return fmt.Errorf("aggregated API: %w", err)
	}
	return nil
}

// serve runs the server with the given way to tell who may do what.
func serve(ctx context.Context, c Config, access access) error {
	listener := c.Listener
	if listener == nil {
		var err error
		// Reports are read also where the way to this node loses full packets.
		if listener, err = segment.ListenConfig().Listen(ctx, "tcp", fmt.Sprintf(":%d", c.Port)); err != nil {
			return err
		}
	}
	defer func() { _ = listener.Close() }() // the server closes it first; this is for the ways out before that
	state := newHub(c.Tasks, c.Reports, time.Now())
	server, err := build(listener, c.Certificate, access, state)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(ctx, c.Reports.Watch(ctx, state.touch)) })
	group.Go(func() error { return ended(ctx, c.Tasks.Watch(ctx, state.wakeUp)) })
	group.Go(func() error { return state.run(ctx) })
	for _, part := range access.parts {
		group.Go(func() error { part(ctx); return nil })
	}
	klog.FromContext(ctx).Info("Serving the aggregated API", "address", listener.Addr().String())
	group.Go(func() error { return server.PrepareRun().RunWithContext(ctx) })
	return group.Wait()
}

// ended turns the error of a context that is over into none, and an early end without an error into one.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		return errors.New("a change feed ended before its time")
	}
	return err
}

// build makes the server. It has no admission, no priority and fairness, no profiling, no metrics of its own and no
// etcd, so it needs no rights beyond asking who a caller is and what it may do.
func build(listener net.Listener, certificate Certificate, access access,
	state *hub) (*genericapiserver.GenericAPIServer, error) {
	scheme, codecs, err := newScheme()
	if err != nil {
		return nil, err
	}
	config := genericapiserver.NewRecommendedConfig(codecs)
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.EnableProfiling, config.EnableMetrics, config.EnableIndex = false, false, false
	config.SecureServing = &genericapiserver.SecureServingInfo{Listener: listener, Cert: certificate,
		DisableHTTP2: true}
	access.apply(&config.Config)
	if config.OpenAPIConfig, config.OpenAPIV3Config, err = openAPI(scheme); err != nil {
		return nil, err
	}
	// The server never calls itself, but its library wants to know how it would.
	config.LoopbackClientConfig = &rest.Config{Host: listener.Addr().String()}
	formats := textFormats{NegotiatedSerializer: codecs}
	config.BuildHandlerChainFunc = handlerChain(formats)
	server, err := config.Complete().New("kdoctor", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	version := systemv1beta1.GroupVersion()
	group := genericapiserver.NewDefaultAPIGroupInfo(version.Group, scheme, metav1.ParameterCodec, codecs)
	group.NegotiatedSerializer = formats
	group.VersionedResourcesStorageMap[version.Version] = resources(state)
	if err := server.InstallAPIGroup(&group); err != nil {
		return nil, fmt.Errorf("install %s: %w", version, err)
	}
	return server, nil
}

func newScheme() (*runtime.Scheme, serializer.CodecFactory, error) {
	scheme := runtime.NewScheme()
	if err := systemv1beta1.AddToScheme(scheme); err != nil {
		return nil, serializer.CodecFactory{}, fmt.Errorf("register kinds: %w", err)
	}
	if err := scheme.AddFieldLabelConversionFunc(systemv1beta1.GroupVersion().WithKind("KdoctorReport"),
		fieldLabel); err != nil {
		return nil, serializer.CodecFactory{}, fmt.Errorf("register fields: %w", err)
	}
	if err := scheme.AddFieldLabelConversionFunc(systemv1beta1.GroupVersion().WithKind("KdoctorPath"),
		pathLabel); err != nil {
		return nil, serializer.CodecFactory{}, fmt.Errorf("register fields: %w", err)
	}
	// Discovery answers with kinds of the group "" in version v1.
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, unversioned)
	return scheme, serializer.NewCodecFactory(scheme), nil
}
