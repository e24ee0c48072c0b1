package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	portforwardapi "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

var _ Forwarder = (*PortForwarder)(nil)

// PortForwarder opens connections to pods through the API server and the kubelet, without a listener on this machine.
// It may be used by several goroutines.
type PortForwarder struct {
	config *rest.Config
	client rest.Interface
	next   atomic.Int64
	// late counts what is being dialled, its callers waiting or gone.
	late sync.WaitGroup
}

// NewPortForwarder returns a forwarder that talks to the API server of the configuration.
func NewPortForwarder(config *rest.Config) (*PortForwarder, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.APIPath = "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	// A bound on whole requests would end the streams.
	config.Timeout = 0
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for port-forwards: %w", err)
	}
	return &PortForwarder{config: config, client: client}, nil
}

// Dial connects to the port on the pod's own loopback. The context bounds the dialling only.
// Not every part of the dialling obeys the context, so it runs beside us, and what comes too late is closed.
func (f *PortForwarder) Dial(ctx context.Context, namespace, pod string, port uint16) (net.Conn, error) {
	target := f.client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	f.late.Go(func() {
		conn, err := f.open(ctx, target, port)
		select {
		case done <- result{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	})
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, ctx.Err())
	}
}

// Close waits for dialling that its callers gave up.
func (f *PortForwarder) Close() { f.late.Wait() }

// open makes a connection of streams, over a WebSocket and, where the server or a proxy before it refuses that, over
// SPDY.
func (f *PortForwarder) open(ctx context.Context, target *url.URL, port uint16) (net.Conn, error) {
	streams, err := f.upgradeWebSocket(ctx, target)
	if err != nil && ctx.Err() == nil && (httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)) {
		streams, err = f.upgradeSPDY(ctx, target)
	}
	if err != nil {
		return nil, err
	}
	conn, err := newForwardConn(streams, f.next.Add(1), port)
	if err != nil {
		_ = streams.Close()
		return nil, fmt.Errorf("open a stream to port %d: %w", port, err)
	}
	return conn, nil
}

func (f *PortForwarder) upgradeWebSocket(ctx context.Context, target *url.URL) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(f.config)
	if err != nil {
		return nil, fmt.Errorf("prepare a WebSocket: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	socket, err := websocket.Negotiate(transport, holder, request, portforwardapi.WebsocketsSPDYTunnelingPortForwardV1)
	if err != nil {
		return nil, err
	}
	tunnel := portforward.NewTunnelingConnection("control", socket)
	streams, err := streamspdy.NewClientConnectionWithPings(tunnel, portforward.PingPeriod)
	if err != nil {
		_ = tunnel.Close()
		return nil, err
	}
	return streams, nil
}

func (f *PortForwarder) upgradeSPDY(ctx context.Context, target *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	if err != nil {
		return nil, fmt.Errorf("prepare SPDY: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
	if err != nil {
		return nil, err
	}
	streams, protocol, err := spdy.NegotiateStreaming(upgrader, &http.Client{Transport: transport}, request,
		portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	if protocol != portforward.PortForwardProtocolV1Name {
		_ = streams.Close()
		return nil, errors.New("the server speaks another port-forward protocol: " + strconv.Quote(protocol))
	}
	return streams, nil
}
