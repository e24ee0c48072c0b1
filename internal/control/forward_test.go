package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/report"
)

// kubelet is the far end of port-forwards, as the kubelet does it: each pair of streams is joined to the port on
// loopback.
type kubelet struct {
	t       *testing.T
	working sync.WaitGroup
}

func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		k.t.Errorf("handshake: %v", err)
		return
	}
	streams := make(chan httpstream.Stream, 2)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	var failures, data httpstream.Stream
	for failures == nil || data == nil {
		select {
		case s := <-streams:
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures = s
			} else {
				data = s
			}
		case <-conn.CloseChan():
			return
		}
	}
	k.join(failures, data)
	<-conn.CloseChan()
}

func (k *kubelet) join(failures, data httpstream.Stream) {
	port := data.Headers().Get(corev1.PortHeader)
	target, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		_, _ = fmt.Fprintf(failures, "error forwarding port %s: %v", port, err)
		_ = failures.Close()
		return
	}
	_ = failures.Close()
	k.working.Go(func() { _, _ = io.Copy(target, data); _ = target.Close() })
	k.working.Go(func() { _, _ = io.Copy(data, target); _ = data.Close() })
}

// responder reports what the API server's own proxy could not do.
type responder struct{ t *testing.T }

func (r responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	r.t.Errorf("proxy: %v", err)
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// apiServer serves port-forwards to a kubelet, over WebSocket too where modern.
func apiServer(t *testing.T, modern bool) *rest.Config {
	t.Helper()
	k := &kubelet{t: t}
	var tunnel http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
	})
	if modern {
		node := httptest.NewServer(k)
		t.Cleanup(func() { node.CloseClientConnections(); node.Close() })
		location, err := url.Parse(node.URL)
		if err != nil {
			t.Fatal(err)
		}
		tunnel = proxy.NewTunnelingHandler(utilproxy.NewUpgradeAwareHandler(location, nil, false, true, responder{t}))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/namespaces/k/pods/a/portforward", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			tunnel.ServeHTTP(w, r)
			return
		}
		if modern {
			t.Error("SPDY was used where WebSocket works")
		}
		k.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); k.working.Wait() })
	return &rest.Config{Host: server.URL}
}

func forwarder(t *testing.T, config *rest.Config) *control.PortForwarder {
	t.Helper()
	f, err := control.NewPortForwarder(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestPortForward(t *testing.T) {
	for name, modern := range map[string]bool{"over WebSocket": true,
		"over SPDY where the server refuses WebSockets": false} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			i := install(t)
			place := i.serve(&agent{pod: "a"}, pki.AgentName)
			c := client(t, control.Config{TLS: i.clientTLS(), Forward: forwarder(t, apiServer(t, modern))})
			a := at(place)
			a.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.77")}
			for range 3 {
				if err := c.Start(ctx, a, plan()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.Fetch(ctx, a, key())
			if err != nil {
				t.Fatal(err)
			}
			if got.Via != report.PortForward {
				t.Errorf("fetched via %q", got.Via)
			}
		})
	}
}

func TestAPortForwardThatFailsSaysWhy(t *testing.T) {
	f := forwarder(t, apiServer(t, true))
	t.Run("with the kubelet's words where the port is closed", func(t *testing.T) {
		conn, err := f.Dial(context.Background(), "k", "a", closedPort(t).Port())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.ReadAll(conn); err == nil || !strings.Contains(err.Error(), "error forwarding port") {
			t.Errorf("reading gave %v", err)
		}
	})
	t.Run("with the API server's where the pod is not there", func(t *testing.T) {
		if conn, err := f.Dial(context.Background(), "k", "gone", 1); err == nil {
			t.Errorf("got a connection to nowhere: %v", conn.RemoteAddr())
		}
	})
	t.Run("with the caller's where it gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := f.Dial(ctx, "k", "a", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
