package agent

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	dialler "kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// tended is an authority that is tended as the controller does it.
type tended struct {
	t         *testing.T
	authority pki.Authority
	// identity is what the controller dials with.
	identity tls.Certificate
	roots    *x509.CertPool
}

// tend has the authority be as it should be at the moment, which changes it in the way that the reason says.
func (a *tended) tend(at time.Time) (why string) {
	a.t.Helper()
	is, why, err := pki.Tend(a.authority, at)
	if err != nil {
		a.t.Fatal(err)
	}
	a.authority = is
	return why
}

func (a *tended) issue(name string, usage x509.ExtKeyUsage) pki.Pair {
	a.t.Helper()
	pair, err := pki.Issue(a.authority.Active, pki.Profile{DNSNames: []string{name}, Usage: usage}, time.Now())
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// dial gives the controller a new certificate and the trusted authorities of now.
func (a *tended) dial() {
	a.t.Helper()
	pair := a.issue(pki.ControllerName, x509.ExtKeyUsageClientAuth)
	identity, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	trusted, err := pki.ParseBundle(a.authority.Bundle)
	if err != nil {
		a.t.Fatal(err)
	}
	a.identity, a.roots = identity, pki.Pool(trusted)
}

// serve gives the agent a new certificate and the trusted authorities of now.
func (a *tended) serve(dir string) {
	a.t.Helper()
	pair := a.issue(pki.AgentName, x509.ExtKeyUsageServerAuth)
	for name, content := range map[string][]byte{"ca.crt": a.authority.Bundle, "tls.crt": pair.Cert,
		"tls.key": pair.Key} {
		writeFile(a.t, filepath.Join(dir, name), string(content))
	}
}

// client is a controller that has no connection yet.
func (a *tended) client() *dialler.Client {
	a.t.Helper()
	c := dialler.New(dialler.Config{TLS: func() (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: pki.AgentName, RootCAs: a.roots,
			Certificates: []tls.Certificate{a.identity}}, nil
	}})
	a.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCertificatesRotateWhileARoundRuns renews the leaves, makes a new authority known, and has it sign, one side
// before the other each time. After every step the connection that stands and a new one must both work, and in the end
// the report must be whole.
func TestCertificatesRotateWhileARoundRuns(t *testing.T) {
	now := time.Now()
	a := &tended{t: t}
	made := now.Add(-pki.AuthorityLife/3*2 - time.Hour)
	active, err := pki.NewAuthority(made)
	if err != nil {
		t.Fatal(err)
	}
	a.authority = pki.Authority{Active: active, Bundle: active.Cert}
	a.dial()
	first := newAuthority(t)
	agent := startAgent(t, "a", "127.0.0.1", &first)
	a.serve(agent.dir)
	place := netip.MustParseAddrPort(agent.listeners.Control.Addr().(*net.TCPAddr).String())
	at := topology.Agent{Namespace: "k", Pod: "a", UID: "u-a", Addresses: []netip.Addr{place.Addr()},
		ControlPort: place.Port()}
	standing := a.client()
	plan := planFor("a", key(1), agent.target("a", topology.IPv4))
	plan.Load.Duration = 2 * time.Second
	plan.Agent = at
	if err := standing.Start(t.Context(), at, plan); err != nil {
		t.Fatal(err)
	}

	tend := func(when time.Time) func() {
		return func() {
			if why := a.tend(when); why == "" {
				t.Error("the authority did not change")
			}
		}
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"the agent's certificate is renewed", func() { a.serve(agent.dir) }},
		{"the controller's certificate is renewed", a.dial},
		{"a next authority is made", tend(now)},
		{"the controller knows it", a.dial},
		{"the agent knows it", func() { a.serve(agent.dir) }},
		{"it signs", tend(now.Add(26 * time.Hour))},
		{"the controller has a certificate of it", a.dial},
		{"the agent has a certificate of it", func() { a.serve(agent.dir) }},
	} {
		step.do()
		for which, c := range map[string]*dialler.Client{"the connection that stands": standing,
			"a new connection": a.client()} {
			if _, err := c.Fetch(t.Context(), at, key(1)); err != nil {
				t.Errorf("after the step %q, %s fails: %v", step.name, which, err)
			}
		}
	}
	client := agent.dial(t,
		credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: pki.AgentName, RootCAs: a.roots,
			Certificates: []tls.Certificate{a.identity}}))
	await(t, client, key(1), ended)
	got, err := a.client().Fetch(t.Context(), at, key(1))
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Paths[0]; got.Via != report.Direct || !got.Finished || p.Scheduled != 100 || p.Sent+p.Missed != 100 ||
		p.OK != p.Sent || p.OK == 0 || got.Served != p.Sent {
		t.Errorf("via %s, finished %v, %d scheduled, %d sent, %d missed, %d ok, %d served; want all of 100", got.Via,
			got.Finished, p.Scheduled, p.Sent, p.Missed, p.OK, got.Served)
	}
}
