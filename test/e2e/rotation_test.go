package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/test/cluster"
)

// rotation takes the certificates of agents and controller away while a round runs. New ones are made, the agents are
// told of them by their kubelets, and each round before, between and after succeeds.
func rotation(t *testing.T, l life) {
	secrets := []string{"kdoctor-agent-tls", "kdoctor-controller-tls", "kdoctor-api-tls"}
	before := map[string][]byte{}
	for _, name := range secrets {
		before[name] = l.certificate(t, name)
	}
	l.apply(t, "rotated", "schedule: {schedule: \"0 1\", roundNumber: 2}\n  request: {durationInSecond: 30, qps: 4, "+
		"perRequestTimeoutInMS: 2000}\n"+
		"  target: {clusterIP: false, nodePort: false}")
	l.ongoing(t, "rotated", time.Minute)
	for _, name := range secrets {
		if err := l.api.Delete(t.Context(),
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 90*time.Second, "the certificates are made anew", func() error {
		for _, name := range secrets {
			var secret corev1.Secret
			if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: name},
				&secret); err != nil {
				return err
			}
			if bytes.Equal(secret.Data[corev1.TLSCertKey], before[name]) {
				return fmt.Errorf("%s holds what it held before", name)
			}
		}
		return nil
	})
	// A kubelet looks into Secrets at long intervals, and at once where a pod has changed.
	kubectl(t, l.Cluster, "annotate", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/name=kdoctor-agent", "--overwrite", "example.com/looked-at=again")
	wanted := l.certificate(t, "kdoctor-agent-tls")
	eventually(t, 3*time.Minute, "the agents use the new certificate", func() error {
		for _, pod := range l.agentPods(t) {
			shown, err := l.shown(t, pod.Status.PodIP)
			if err != nil {
				return fmt.Errorf("%s: %w", pod.Name, err)
			}
			if !bytes.Equal(shown, der(wanted)) {
				return fmt.Errorf("%s shows the old one", pod.Name)
			}
		}
		return nil
	})
	l.finished(t, "rotated", 3*time.Minute)
	kubectl(t, l.Cluster, "annotate", "netreach", "rotated", "kdoctor.io/run-now=rotated")
	done := l.until(t, "rotated", 2*time.Minute, "the round with the new certificates is over",
		func(n v1beta1.NetReach) bool {
			return n.Status.Finish && *n.Status.DoneRound == 3
		})
	for _, record := range done.Status.History {
		if record.Status != v1beta1.RecordSucceed {
			t.Errorf("round %d: %+v; want a success", record.RoundNumber, record)
		}
		wantPassed(t, l.report(t, fmt.Sprintf("netreach-rotated:%d", record.RoundNumber)), nodes, 120)
	}
}

// certificate is what the Secret holds.
func (l life) certificate(t *testing.T, secret string) []byte {
	t.Helper()
	var found corev1.Secret
	if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: secret}, &found); err != nil {
		t.Fatal(err)
	}
	return found.Data[corev1.TLSCertKey]
}

// der is the first certificate of a file as it goes over the wire.
func der(text []byte) []byte {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	return block.Bytes
}

// shown is the certificate that the agent at the address shows to the controller.
func (l life) shown(t *testing.T, address string) ([]byte, error) {
	t.Helper()
	config, err := credentials(t, l.api)()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	raw, err := l.Dial(ctx, "n0", "tcp", net.JoinHostPort(address, "5710"))
	if err != nil {
		return nil, err
	}
	config.ServerName = pki.AgentName
	connection := tls.Client(raw, config)
	defer connection.Close()
	if err := connection.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	for _, certificate := range connection.ConnectionState().PeerCertificates {
		return certificate.Raw, nil
	}
	return nil, errors.New("it shows none")
}
