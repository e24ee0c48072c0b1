package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/test/cluster"
)

// agents asks the agents themselves, past the controller and its reports: what they say is the second witness.
type agents struct {
	client *control.Client
	all    []topology.Agent
}

// dial asks the default agents.
func dial(t *testing.T, c *cluster.Cluster) agents {
	t.Helper()
	return dialAgents(t, c, topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-agent"})
}

func dialAgents(t *testing.T, c *cluster.Cluster, of topology.Workload) agents {
	t.Helper()
	// What the libraries log says nothing that a failed test would not.
	log.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := inventory.New(reader, cluster.Namespace).Snapshot(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	forward, err := control.NewPortForwarder(config)
	if err != nil {
		t.Fatal(err)
	}
	found := agents{client: control.New(control.Config{TLS: credentials(t, reader), Forward: forward}),
		all: snapshot.Agents}
	t.Cleanup(func() {
		if err := found.client.Close(); err != nil {
			t.Errorf("close the connections to the agents: %v", err)
		}
		forward.Close()
	})
	return found
}

// credentials are the controller's own.
func credentials(t *testing.T, reader client.Reader) func() (*tls.Config, error) {
	t.Helper()
	var secret corev1.Secret
	if err := reader.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: "kdoctor-controller-tls"},
		&secret); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		t.Fatal("the controller's Secret holds no authority")
	}
	return func() (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: pki.AgentName, RootCAs: roots,
			Certificates: []tls.Certificate{pair}}, nil
	}
}

// each asks every agent for the first round of the task.
func (a agents) each(ctx context.Context, of v1beta1.NetReach, see func(topology.Agent, report.AgentReport, error)) {
	key := schedule.Key{UID: string(of.UID), Generation: of.Generation, Round: 1}
	for _, agent := range a.all {
		fetched, err := a.client.Fetch(ctx, agent, key)
		see(agent, fetched, err)
	}
}

// served is how many requests of the task's first round the agents' responders answered.
func served(t *testing.T, c *cluster.Cluster, of v1beta1.NetReach) uint64 {
	t.Helper()
	var total uint64
	dial(t, c).each(t.Context(), of, func(agent topology.Agent, fetched report.AgentReport, err error) {
		if err != nil {
			t.Errorf("ask %s: %v", agent.Pod, err)
		}
		total += fetched.Served
	})
	return total
}

// running is which agents still work on the task's first round.
func running(t *testing.T, c *cluster.Cluster, of v1beta1.NetReach) []string {
	t.Helper()
	var still []string
	dial(t, c).each(t.Context(), of, func(agent topology.Agent, fetched report.AgentReport, err error) {
		switch {
		case errors.Is(err, control.ErrUnknownRound):
		case err != nil:
			t.Errorf("ask %s: %v", agent.Pod, err)
		case fetched.Ended.IsZero() || fetched.Finished:
			still = append(still, fmt.Sprintf("%s (finished: %v)", agent.Pod, fetched.Finished))
		}
	})
	return still
}
