package control_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

func key() schedule.Key { return schedule.Key{UID: "uid-1", Generation: 1, Round: 1} }

func plan() mesh.Plan {
	return mesh.Plan{Key: key(), Task: report.TaskRef{Kind: "NetReach", Name: "task"}, Agent: topology.Agent{Pod: "a"},
		Load: mesh.Load{PerSecond: 1, Duration: time.Second, Timeout: time.Second}, Limit: time.Minute}
}

// agent is an agent's control server as far as the client sees it.
type agent struct {
	agentv1.UnimplementedAgentServiceServer
	pod string
	// stuck, when not nil, holds every call up until it is closed.
	stuck chan struct{}

	mu      sync.Mutex
	started map[string]bool
}

func (a *agent) wait(ctx context.Context) error {
	if a.stuck == nil {
		return nil
	}
	select {
	case <-a.stuck:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *agent) StartRound(ctx context.Context, r *agentv1.StartRoundRequest) (*agentv1.StartRoundResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.started[r.GetPlan().GetKey().String()]
	a.started[r.GetPlan().GetKey().String()] = true
	return &agentv1.StartRoundResponse{Known: known}, a.wait(ctx)
}

func (a *agent) GetReport(ctx context.Context, r *agentv1.GetReportRequest) (*agentv1.GetReportResponse, error) {
	if err := a.wait(ctx); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started[r.GetKey().String()] {
		return nil, status.Error(codes.NotFound, "no such round")
	}
	message := wire.Report(report.AgentReport{Pod: a.pod, Node: "n1", Started: time.Unix(1, 0)})
	message.Key = r.GetKey()
	return &agentv1.GetReportResponse{Report: message}, nil
}

func (a *agent) StopRound(_ context.Context, r *agentv1.StopRoundRequest) (*agentv1.StopRoundResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started[r.GetKey().String()] {
		return nil, status.Error(codes.NotFound, "no such round")
	}
	delete(a.started, r.GetKey().String())
	return &agentv1.StopRoundResponse{}, nil
}

// installation has an authority of its own.
type installation struct {
	t         *testing.T
	authority pki.Pair
}

func install(t *testing.T) installation {
	t.Helper()
	authority, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return installation{t, authority}
}

func (i installation) issue(name string, usage x509.ExtKeyUsage) tls.Certificate {
	i.t.Helper()
	pair, err := pki.Issue(i.authority, pki.Profile{DNSNames: []string{name}, Usage: usage}, time.Now())
	if err != nil {
		i.t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		i.t.Fatal(err)
	}
	return certificate
}

func (i installation) pool() *x509.CertPool {
	trusted, err := pki.ParseBundle(i.authority.Cert)
	if err != nil {
		i.t.Fatal(err)
	}
	return pki.Pool(trusted)
}

func (i installation) clientTLS() func() (*tls.Config, error) {
	config := &tls.Config{RootCAs: i.pool(),
		Certificates: []tls.Certificate{i.issue(pki.ControllerName, x509.ExtKeyUsageClientAuth)},
		MinVersion:   tls.VersionTLS13}
	return func() (*tls.Config, error) { return config, nil }
}

func (i installation) serverTLS(name string) *tls.Config {
	i.t.Helper()
	return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: i.pool(),
		Certificates: []tls.Certificate{i.issue(name, x509.ExtKeyUsageServerAuth)}}
}

// serve runs the agent's server under the name, and returns where.
func (i installation) serve(a *agent, name string) netip.AddrPort {
	i.t.Helper()
	a.started = map[string]bool{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(i.serverTLS(name))))
	agentv1.RegisterAgentServiceServer(server, a)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	i.t.Cleanup(func() { server.Stop(); serving.Wait() })
	return netip.MustParseAddrPort(listener.Addr().String())
}

// detour is a Forwarder to one address that counts.
type detour struct {
	to    netip.AddrPort
	fails error
	dials atomic.Int64
}

func (d *detour) Dial(ctx context.Context, namespace, pod string, _ uint16) (net.Conn, error) {
	d.dials.Add(1)
	if d.fails != nil {
		return nil, fmt.Errorf("forward to %s/%s: %w", namespace, pod, d.fails)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", d.to.String())
}

func at(place netip.AddrPort) topology.Agent {
	return topology.Agent{Namespace: "k", Pod: "a", UID: "1", Addresses: []netip.Addr{place.Addr()},
		ControlPort: place.Port()}
}

// closedPort is where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// silentPort is where connections are taken and nothing is ever said.
func silentPort(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return netip.MustParseAddrPort(listener.Addr().String())
}

func client(t *testing.T, config control.Config) *control.Client {
	t.Helper()
	c := control.New(config)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestARoundIsStartedFetchedAndStopped(t *testing.T) {
	ctx := context.Background()
	i := install(t)
	c, a := client(t, control.Config{TLS: i.clientTLS()}), at(i.serve(&agent{pod: "a"}, pki.AgentName))
	if _, err := c.Fetch(ctx, a, key()); !errors.Is(err, control.ErrUnknownRound) {
		t.Errorf("a round that was never started gave %v, not ErrUnknownRound", err)
	}
	for range 2 {
		if err := c.Start(ctx, a, plan()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Fetch(ctx, a, key())
	if err != nil {
		t.Fatal(err)
	}
	want := report.AgentReport{Pod: "a", Node: "n1", Via: report.Direct, Started: time.Unix(1, 0).UTC()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := c.Stop(ctx, a, key()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Fetch(ctx, a, key()); !errors.Is(err, control.ErrUnknownRound) {
		t.Errorf("a round that was stopped gave %v, not ErrUnknownRound", err)
	}
}

func TestWhichWayIsTaken(t *testing.T) {
	i := install(t)
	foreign := install(t)
	quick := 100 * time.Millisecond
	good := i.serve(&agent{pod: "a"}, pki.AgentName)
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	second := at(good)
	second.Addresses = append([]netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.77")},
		second.Addresses...)
	nowhere := at(good)
	nowhere.Addresses = nil
	cases := []struct {
		name  string
		agent topology.Agent
		fails error
		want  report.Via
	}{
		{"the pod's address is taken where it answers", at(good), nil, report.Direct},
		{"a later address is taken where the earlier ones do not answer", second, nil, report.Direct},
		{"the way around is taken where nobody listens", at(closedPort(t)), nil, report.PortForward},
		{"the way around is taken where the pod has no address", nowhere, nil, report.PortForward},
		{"the way around is taken where the handshake hangs", at(silentPort(t)), nil, report.PortForward},
		{"the way around is taken where a call hangs", at(i.serve(&agent{pod: "a", stuck: stuck}, pki.AgentName)), nil,
			report.PortForward},
		{"the way around is taken where a stranger's authority answers",
			at(foreign.serve(&agent{pod: "a"}, pki.AgentName)), nil, report.PortForward},
		{"the way around is taken where another name answers",
			at(i.serve(&agent{pod: "a"}, "kdoctor-controller.k.svc")), nil, report.PortForward},
		{"no way is an error that says so", at(closedPort(t)), errors.New("kubelet is away"), ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			around := &detour{to: good, fails: tc.fails}
			c := client(t, control.Config{TLS: i.clientTLS(), Forward: around, DirectTimeout: quick,
				CallTimeout: quick})
			err := c.Start(context.Background(), tc.agent, plan())
			if tc.want == "" {
				if !errors.Is(err, control.ErrUnreachable) || !strings.Contains(err.Error(), tc.fails.Error()) ||
					!strings.Contains(err.Error(), "refused") {
					t.Errorf("got %v, want ErrUnreachable with the reasons of both ways", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Fetch(context.Background(), tc.agent, key())
			if err != nil {
				t.Fatal(err)
			}
			if got.Via != tc.want {
				t.Errorf("fetched via %q, want %q", got.Via, tc.want)
			}
			if dials := around.dials.Load(); (dials > 0) != (tc.want == report.PortForward) || dials > 1 {
				t.Errorf("the way around was dialled %d times", dials)
			}
		})
	}
}

func TestACallerWithLittleTimeIsStillTakenAround(t *testing.T) {
	i := install(t)
	around := &detour{to: i.serve(&agent{pod: "a"}, pki.AgentName)}
	c := client(t, control.Config{TLS: i.clientTLS(), Forward: around, DirectTimeout: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := c.Start(ctx, at(silentPort(t)), plan()); err != nil {
		t.Error(err)
	}
}

func TestAWayThatFailedIsRememberedAndTriedAgain(t *testing.T) {
	ctx := context.Background()
	i := install(t)
	a := &agent{pod: "a"}
	around := &detour{to: i.serve(a, pki.AgentName)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var knocks atomic.Int64
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); accepting.Wait() })
	place := at(netip.MustParseAddrPort(listener.Addr().String()))
	for _, tc := range []struct {
		name  string
		retry time.Duration
		want  int64
	}{
		{"for as long as it is remembered it is tried once", time.Hour, 1},
		{"afterwards every call tries it", time.Nanosecond, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			knocks.Store(0)
			c := client(t, control.Config{TLS: i.clientTLS(), Forward: around, DirectRetry: tc.retry})
			for range 3 {
				if err := c.Start(ctx, place, plan()); err != nil {
					t.Fatal(err)
				}
			}
			if got := knocks.Load(); got != tc.want {
				t.Errorf("the direct way was tried %d times, want %d", got, tc.want)
			}
		})
	}
}

func TestAnAgentThatComesBackIsReachedDirectlyAgain(t *testing.T) {
	ctx := context.Background()
	i := install(t)
	a := &agent{pod: "a"}
	place := i.serve(a, pki.AgentName)
	away, here := at(closedPort(t)), at(place)
	c := client(t, control.Config{TLS: i.clientTLS(), Forward: &detour{to: place}, DirectRetry: time.Nanosecond})
	if err := c.Start(ctx, away, plan()); err != nil {
		t.Fatal(err)
	}
	got, err := c.Fetch(ctx, here, key())
	if err != nil {
		t.Fatal(err)
	}
	if got.Via != report.Direct {
		t.Errorf("fetched via %q, want it direct", got.Via)
	}
}

func TestRenewedCertificatesAreTakenUp(t *testing.T) {
	i := install(t)
	stranger := install(t).clientTLS()
	var asked int
	c := client(t, control.Config{TLS: func() (*tls.Config, error) {
		if asked++; asked == 1 {
			return stranger()
		}
		return i.clientTLS()()
	}})
	a := at(i.serve(&agent{pod: "a"}, pki.AgentName))
	if err := c.Start(context.Background(), a, plan()); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("a stranger's certificate gave %v, want ErrUnreachable", err)
	}
	if err := c.Start(context.Background(), a, plan()); err != nil {
		t.Errorf("with its own certificate: %v", err)
	}
}

func TestAReportOfAnotherPodIsRefused(t *testing.T) {
	i := install(t)
	c, a := client(t, control.Config{TLS: i.clientTLS()}), at(i.serve(&agent{pod: "other"}, pki.AgentName))
	if err := c.Start(context.Background(), a, plan()); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Fetch(context.Background(), a, key()); err == nil {
		t.Errorf("took the report of %s for that of %s", got.Pod, a.Pod)
	}
}

func TestACallerThatGivesUpIsObeyed(t *testing.T) {
	i := install(t)
	c := client(t, control.Config{TLS: i.clientTLS()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Start(ctx, at(closedPort(t)), plan()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestAClosedClientMakesNoCalls(t *testing.T) {
	i := install(t)
	c := client(t, control.Config{TLS: i.clientTLS()})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(context.Background(), at(closedPort(t)), plan()); !errors.Is(err, control.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
