package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	rpc "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	rpcstatus "google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/test/cluster"
)

// strangers calls the control port of an agent on n1 from node n0, as whoever has a shell on a node can.
func strangers(t *testing.T, l life) {
	_, address := agentOn(t, l.Cluster, "n1")
	target := net.JoinHostPort(address, strconv.Itoa(5710))
	controllers, err := credentials(t, l.api)()
	if err != nil {
		t.Fatal(err)
	}
	bare := controllers.Clone()
	bare.Certificates = nil
	of := func(pair tls.Certificate) rpc.TransportCredentials {
		other := controllers.Clone()
		other.Certificates = []tls.Certificate{pair}
		return rpc.NewTLS(other)
	}
	for _, c := range []struct {
		name string
		as   rpc.TransportCredentials
		want codes.Code
	}{
		// The positive case: without it, a port that nobody reaches would pass for one that refuses.
		{"the controller is answered that there is no such round", rpc.NewTLS(controllers), codes.NotFound},
		{"plain TCP is refused", insecure.NewCredentials(), codes.Unavailable},
		{"TLS without a certificate is refused", rpc.NewTLS(bare), codes.Unavailable},
		{"a certificate of another authority is refused", of(foreign(t)), codes.Unavailable},
		{"an agent's certificate is refused", of(agentCertificate(t, l)), codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			connection, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(c.as),
				grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
					return l.Dial(ctx, "n0", "tcp", address)
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			_, err = agentv1.NewAgentServiceClient(connection).GetReport(ctx,
				&agentv1.GetReportRequest{Key: &agentv1.RoundKey{TaskUid: "nobody", Generation: 1, Round: 1}})
			if got := rpcstatus.Code(err); got != c.want {
				t.Errorf("the answer is %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

// foreign is a controller's certificate by an authority that nobody knows.
func foreign(t *testing.T) tls.Certificate {
	t.Helper()
	issued, err := pki.Issue(newAuthority(t),
		pki.Profile{DNSNames: []string{pki.ControllerName}, Usage: x509.ExtKeyUsageClientAuth}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pair(t, issued.Cert, issued.Key)
}

func agentCertificate(t *testing.T, l life) tls.Certificate {
	t.Helper()
	var secret corev1.Secret
	if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: "kdoctor-agent-tls"},
		&secret); err != nil {
		t.Fatal(err)
	}
	return pair(t, secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
}

func pair(t *testing.T, certificate, key []byte) tls.Certificate {
	t.Helper()
	found, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// shakeHands makes a TLS connection for the Ingress's host from node n0.
func (l life) shakeHands(ctx context.Context, to netip.AddrPort, authority pki.Pair) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Cert)
	connection, err := l.Dial(ctx, "n0", "tcp", to.String())
	if err != nil {
		return err
	}
	defer connection.Close()
	return tls.Client(connection,
		&tls.Config{MinVersion: tls.VersionTLS12, ServerName: ingressHost, RootCAs: roots}).HandshakeContext(ctx)
}
