package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

// running is an agent of this test.
type running struct {
	listeners Listeners
	dir       string
	// end stops it and returns what Run returned.
	end func() error
}

func listenOn(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("listen on %s: %v", address, err)
	}
	return l
}

// startAgent runs an agent on loopback until the test ends. Without an authority it has no certificate yet.
func startAgent(t *testing.T, pod, host string, a *authority) running {
	t.Helper()
	dir := t.TempDir()
	if a != nil {
		a.install(t, dir)
	}
	r := running{dir: dir, listeners: Listeners{
		HTTP: listenOn(t, net.JoinHostPort(host, "0")), Control: listenOn(t, "127.0.0.1:0"),
		Health: listenOn(t, "127.0.0.1:0")}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var failure error
	go func() {
		defer close(ended)
		failure = Run(ctx, Config{Identity: echo.Identity{Installation: "k/kdoctor-agent", Pod: pod, PodUID: "u-" + pod,
			Node: "n-" + pod},
			TLSDir: dir, Log: slog.New(slog.DiscardHandler)}, r.listeners)
	}()
	r.end = func() error { cancel(); <-ended; return failure }
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Errorf("agent %s: %v", pod, err)
		}
	})
	return r
}

func (r running) dial(t *testing.T, creds credentials.TransportCredentials) agentv1.AgentServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.listeners.Control.Addr().String(),
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessageBytes)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return agentv1.NewAgentServiceClient(conn)
}

func (r running) target(pod string, family topology.Family) target.Target {
	return target.Target{ID: "Agent_" + pod, Kind: target.Endpoint, Family: family, Protocol: target.HTTP,
		Address: "http://" + r.listeners.HTTP.Addr().String(), Pod: pod, Node: "n-" + pod}
}

func key(round int64) schedule.Key { return schedule.Key{UID: "0b5f4a56", Generation: 1, Round: round} }

func planFor(pod string, k schedule.Key, targets ...target.Target) mesh.Plan {
	return mesh.Plan{Key: k, Task: report.TaskRef{Kind: "NetReach", Name: "task"}, Agent: topology.Agent{Pod: pod},
		Targets: targets,
		Load:    mesh.Load{PerSecond: 50, Duration: time.Second, Timeout: 10 * time.Second}, Limit: time.Minute}
}

// forever is a plan that a test stops long before its end.
func forever(pod string, k schedule.Key, targets ...target.Target) mesh.Plan {
	p := planFor(pod, k, targets...)
	p.Load.Duration, p.Limit = time.Hour, 2*time.Hour
	return p
}

// await fetches reports until the condition holds; the test's own deadline bounds it.
func await(t *testing.T, client agentv1.AgentServiceClient, k schedule.Key,
	until func(report.AgentReport) bool) report.AgentReport {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		response, err := client.GetReport(ctx, &agentv1.GetReportRequest{Key: wire.Key(k)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.ParseReport(response.GetReport())
		if err != nil {
			t.Fatal(err)
		}
		if until(r) {
			return r
		}
		<-ticker.C
	}
}

func ended(r report.AgentReport) bool { return !r.Ended.IsZero() }

func start(t *testing.T, client agentv1.AgentServiceClient, p mesh.Plan) bool {
	t.Helper()
	response, err := client.StartRound(t.Context(), &agentv1.StartRoundRequest{Plan: wire.Plan(p)})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetKnown()
}

func TestTwoAgentsProbeEachOtherAndTheirCountsAgree(t *testing.T) {
	for family, host := range map[topology.Family]string{topology.IPv4: "127.0.0.1", topology.IPv6: "::1"} {
		t.Run(string(family), func(t *testing.T) {
			a := newAuthority(t)
			pods := map[string]running{"a": startAgent(t, "a", host, &a), "b": startAgent(t, "b", host, &a)}
			creds := credentials.NewTLS(a.controller(t))
			targets := []target.Target{pods["a"].target("a", family), pods["b"].target("b", family)}
			for pod, r := range pods {
				client := r.dial(t, creds)
				if start(t, client, planFor(pod, key(1), targets...)) {
					t.Error("a new round is said to be known")
				}
				if !start(t, client, planFor(pod, key(1), targets...)) {
					t.Error("the same round is started twice")
				}
			}
			for _, r := range pods {
				await(t, r.dial(t, creds), key(1), ended)
			}
			sent, served := map[string]uint64{}, map[string]uint64{}
			for pod, r := range pods {
				got := await(t, r.dial(t, creds), key(1), ended)
				planFor(pod, key(1), targets...).Attach(&got)
				if got.Pod != pod || got.Node != "n-"+pod || !got.Finished || !got.Resources.Known ||
					got.Resources.MaxMemory == 0 {
					t.Errorf("report of %s: pod %s, node %s, finished %v, resources %+v", pod, got.Pod, got.Node,
						got.Finished, got.Resources)
				}
				for i, p := range got.Paths {
					sent[p.Target.Pod] += p.Sent
					if p.Scheduled != 50 || p.OK != p.Sent || p.OK == 0 || p.Peers[p.Target.Pod] != p.OK ||
						p.Target != targets[i] {
						t.Errorf("path %s of %s: %d scheduled, %d sent, %d ok, failures %v", p.Target.ID, pod,
							p.Scheduled, p.Sent, p.OK, p.Failures)
					}
				}
				served[pod] = got.Served
			}
			if diff := cmp.Diff(sent, served); diff != "" {
				t.Errorf("requests by the agent they went to (-sent +served):\n%s", diff)
			}
		})
	}
}

func TestOnlyTheControllerIsObeyed(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &ours)
	client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	old := ours.controller(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	cases := []struct {
		name  string
		creds credentials.TransportCredentials
		want  codes.Code
	}{
		{"the controller is obeyed", credentials.NewTLS(ours.controller(t)), codes.NotFound},
		{"plain TCP is not", insecure.NewCredentials(), codes.Unavailable},
		{"a client without a certificate is not", credentials.NewTLS(ours.client(t, nil, "")), codes.Unavailable},
		{"a controller of another installation is not",
			credentials.NewTLS(ours.client(t, &foreign, ControllerName, client)), codes.Unavailable},
		{"another agent is not", credentials.NewTLS(ours.client(t, &ours, agentName, server)), codes.Unavailable},
		{"another client of the same authority is not",
			credentials.NewTLS(ours.client(t, &ours, "page.kdoctor.internal", client)), codes.Unavailable},
		{"the controller's name on a server's certificate is not",
			credentials.NewTLS(ours.client(t, &ours, ControllerName, server)), codes.Unavailable},
		{"the controller's name on a certificate for everything is not",
			credentials.NewTLS(ours.client(t, &ours, ControllerName)), codes.Unavailable},
		{"TLS 1.2 is not", credentials.NewTLS(old), codes.Unavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := agent.dial(t, c.creds).GetReport(t.Context(), &agentv1.GetReportRequest{Key: wire.Key(key(1))})
			if got := status.Code(err); got != c.want {
				t.Errorf("code %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

func TestNewCertificatesAreUsedWithoutARestart(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &before)
	ask := func(a authority) codes.Code {
		_, err := agent.dial(t, credentials.NewTLS(a.controller(t))).GetReport(t.Context(),
			&agentv1.GetReportRequest{Key: wire.Key(key(1))})
		return status.Code(err)
	}
	if code := ask(before); code != codes.NotFound {
		t.Fatalf("code %v before the change", code)
	}
	after.install(t, agent.dir)
	if code := ask(after); code != codes.NotFound {
		t.Errorf("code %v for the new authority's controller", code)
	}
	if code := ask(before); code != codes.Unavailable {
		t.Errorf("code %v for the old authority's controller", code)
	}
}

func TestBrokenFilesLeaveTheOldCertificateInForce(t *testing.T) {
	a := newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &a)
	creds := a.controller(t)
	if code := get(t, agent, "/readyz"); code != 200 {
		t.Fatalf("readyz is %d before the change", code)
	}
	writeFile(t, filepath.Join(agent.dir, "tls.crt"), "half a certif")
	_, err := agent.dial(t, credentials.NewTLS(creds)).GetReport(t.Context(),
		&agentv1.GetReportRequest{Key: wire.Key(key(1))})
	if status.Code(err) != codes.NotFound {
		t.Errorf("after a broken change: %v", err)
	}
	if code := get(t, agent, "/readyz"); code != 200 {
		t.Errorf("readyz is %d, want 200: the old certificate still serves", code)
	}
}

func get(t *testing.T, r running, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+
		r.listeners.Health.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestAgentIsReadyOnceItHasACertificate(t *testing.T) {
	agent := startAgent(t, "a", "127.0.0.1", nil)
	if live, ready := get(t, agent, "/healthz"), get(t, agent, "/readyz"); live != 200 || ready != 503 {
		t.Errorf("without a certificate healthz is %d and readyz %d, want 200 and 503", live, ready)
	}
	newAuthority(t).install(t, agent.dir)
	if ready := get(t, agent, "/readyz"); ready != 200 {
		t.Errorf("with a certificate readyz is %d, want 200", ready)
	}
}

func TestRoundIsStoppedAtOnce(t *testing.T) {
	a := newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &a)
	silent := listenOn(t, "127.0.0.1:0") // Connections are made by the kernel and never answered.
	defer func() { _ = silent.Close() }()
	client := agent.dial(t, credentials.NewTLS(a.controller(t)))
	hole := target.Target{ID: "hole", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP,
		Address: "http://" + silent.Addr().String()}
	start(t, client, forever("a", key(1), agent.target("a", topology.IPv4), hole))
	await(t, client, key(1), func(r report.AgentReport) bool { return r.Paths[0].OK > 3 })

	asked := time.Now()
	if _, err := client.StopRound(t.Context(), &agentv1.StopRoundRequest{Key: wire.Key(key(1))}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(asked); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	got := await(t, client, key(1), func(report.AgentReport) bool { return true })
	if got.Finished || got.Ended.IsZero() || got.Paths[0].OK == 0 {
		t.Errorf("a stopped round is finished %v, ended %v, with %d successes", got.Finished, got.Ended,
			got.Paths[0].OK)
	}
	if f := got.Paths[1].Failures; len(f) == 0 || f[0].Outcome.String() != "Aborted" {
		t.Errorf("attempts under way are %v, want Aborted", f)
	}
}

// A rollout stops every agent amid the rounds of that moment, and what was measured until then is fetched.
func TestStoppedAgentHandsItsReportOverAndEndsWithinASecond(t *testing.T) {
	a := newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &a)
	client := agent.dial(t, credentials.NewTLS(a.controller(t)))
	start(t, client, forever("a", key(1), agent.target("a", topology.IPv4)))
	await(t, client, key(1), func(r report.AgentReport) bool { return r.Paths[0].OK > 3 })
	over := make(chan error, 1)
	go func() { over <- agent.end() }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for get(t, agent, "/readyz") != http.StatusServiceUnavailable {
		<-ticker.C
	}
	select {
	case err := <-over:
		t.Fatalf("the agent ended with %v before its report was fetched", err)
	case <-time.After(100 * time.Millisecond):
	}
	got := await(t, client, key(1), ended)
	if got.Finished || got.Paths[0].OK < 3 || got.Paths[0].OK != got.Paths[0].Sent {
		t.Errorf("the report is finished %v, with %d of %d requests that succeeded", got.Finished, got.Paths[0].OK,
			got.Paths[0].Sent)
	}
	fetched := time.Now()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if took := time.Since(fetched); took > 2*time.Second {
		t.Errorf("the agent took %v to end after its report was fetched", took)
	}
}

func TestPlanThatMustNotRunIsRefused(t *testing.T) {
	a := newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &a)
	client := agent.dial(t, credentials.NewTLS(a.controller(t)))
	self := agent.target("a", topology.IPv4)
	if _, err := client.StopRound(t.Context(), &agentv1.StopRoundRequest{Key: wire.Key(key(9))}); err != nil {
		t.Errorf("stopping an unknown round: %v", err)
	}
	start(t, client, planFor("a", key(5), self))
	broken := planFor("a", key(6), self)
	broken.Load.PerSecond = 100_000
	for name, c := range map[string]struct {
		plan mesh.Plan
		want codes.Code
	}{
		"for another pod":                {planFor("b", key(6), self), codes.FailedPrecondition},
		"out of bounds":                  {broken, codes.InvalidArgument},
		"of a round older than one here": {planFor("a", key(4), self), codes.FailedPrecondition},
		"of a round that was stopped":    {planFor("a", key(9), self), codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.StartRound(t.Context(), &agentv1.StartRoundRequest{Plan: wire.Plan(c.plan)})
			if got := status.Code(err); got != c.want {
				t.Errorf("code %v (%v), want %v", got, err, c.want)
			}
		})
	}
	await(t, client, key(5), ended)
}

func TestListenServesBothFamilies(t *testing.T) {
	free := listenOn(t, "127.0.0.1:0")
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	l, err := Listen(t.Context(), Ports{HTTP: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = conn.Close()
	}
}
