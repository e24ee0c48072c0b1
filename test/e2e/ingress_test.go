package e2e

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/test/cluster"
)

// ingressHost is the host of the rule; nobody resolves it.
const ingressHost = "agents.kdoctor.example"

// ingressTLS serves the agents' Ingress for one host over TLS, with a certificate of an authority that only its Secret
// knows, and then lets the Secret tell of another authority.
func ingressTLS(t *testing.T, l life) {
	authority, other := newAuthority(t), newAuthority(t)
	served, err := pki.Issue(authority, pki.Profile{DNSNames: []string{ingressHost}, Usage: x509.ExtKeyUsageServerAuth},
		time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey: served.Cert, corev1.TLSPrivateKeyKey: served.Key, "ca.crt": authority.Cert,
	}}
	secret.Namespace, secret.Name = cluster.Namespace, "agents-ingress"
	if err := client.IgnoreAlreadyExists(l.api.Create(t.Context(), secret)); err != nil {
		t.Fatal(err)
	}
	if err := l.Install(t.Context(), "--set", "ingress.host="+ingressHost, "--set", "ingress.tls.enabled=true", "--set",
		"ingress.tls.secretName="+secret.Name); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Install(t.Context()); err != nil {
			t.Error(err)
		}
		if err := l.api.Delete(t.Context(), secret); err != nil {
			t.Error(err)
		}
		l.settle(t)
	}()
	const load = "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 2000}\n  target: {ipv4: true, ipv6: " +
		"true, endpoint: false, clusterIP: false, nodePort: false, ingress: true}"
	eventually(t, time.Minute, "the Ingress serves the certificate", func() error { return l.handshake(t, authority) })
	l.apply(t, "tls", load)
	l.finished(t, "tls", time.Minute)
	r := l.report(t, "netreach-tls")
	wantPassed(t, r, nodes, lightly)
	for _, agent := range r.Spec.Report {
		if len(agent.NetReachTask.Detail) != 2 {
			t.Errorf("node %s has %d targets, want one for each family", agent.NodeName, len(agent.NetReachTask.Detail))
		}
		for _, d := range agent.NetReachTask.Detail {
			if d.TargetUrl != "https://"+ingressHost+"/kdoctoragent" || d.Metrics.PhasesInMs["tls"].Mean <= 0 {
				t.Errorf("node %s, %s: URL %s, phases %v; want the host over TLS", agent.NodeName, d.TargetName,
					d.TargetUrl, d.Metrics.PhasesInMs)
			}
		}
	}
	secret.Data["ca.crt"] = other.Cert
	if err := l.api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	l.apply(t, "tls-other", load)
	done := l.finished(t, "tls-other", time.Minute)
	if got := done.Status.History[0].FailedAgentNodeList; !slices.Equal(got, nodeNames()) {
		t.Errorf("with another authority agents fail on %v, want on all nodes", got)
	}
	for _, agent := range l.report(t, "netreach-tls-other").Spec.Report {
		for _, d := range agent.NetReachTask.Detail {
			if d.Metrics.SuccessCounts != 0 || !strings.Contains(fmt.Sprint(d.Metrics.Errors), "tls") {
				t.Errorf("node %s, %s: %d succeeded, errors %v; want none, for the certificate", agent.NodeName,
					d.TargetName, d.Metrics.SuccessCounts, d.Metrics.Errors)
			}
		}
	}
}

func newAuthority(t *testing.T) pki.Pair {
	t.Helper()
	authority, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// handshake shakes hands with the Ingress controller from a node, over both families, as a client that trusts the
// authority alone.
func (l life) handshake(t *testing.T, authority pki.Pair) error {
	t.Helper()
	for _, address := range []string{"198.18.0.3", "fd98:18::3"} {
		if err := l.shakeHands(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(address), 443),
			authority); err != nil {
			return fmt.Errorf("with %s: %w", address, err)
		}
	}
	return nil
}
