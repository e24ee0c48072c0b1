// Package agent is the program that runs on every node: an echo responder that other agents probe, a control server
// that the controller starts rounds through, and a health server. It knows nothing of Kubernetes.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"

	"kdoctor.io/kdoctor/internal/datagram"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe/ladderprobe"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/segment"
)

// Config is what an agent needs to know.
type Config struct {
	// Identity names this agent in the responder's answers; Installation and Pod must be set.
	Identity echo.Identity
	// TLSDir is the folder of ca.crt, tls.crt and tls.key. The files may come later and may change at any time.
	TLSDir string
	Log    *slog.Logger
}

// Listeners are the open ports of an agent.
type Listeners struct {
	HTTP, Control, Health net.Listener
	// Datagrams answer on the HTTP port's number over UDP, a socket for each family.
	Datagrams []net.PacketConn
}

// Ports are the ports of an agent, 1 to 65535 each.
type Ports struct {
	HTTP, Control, Health int
}

// Listen opens all ports on all addresses, in both families where the machine has both. Control connections have small
// segments, and work on a way that loses full packets. What is measured has segments of the usual size.
func Listen(ctx context.Context, ports Ports) (Listeners, error) {
	var l Listeners
	usual := &net.ListenConfig{}
	usual.SetMultipathTCP(false)
	for _, one := range []struct {
		port   int
		to     *net.Listener
		config *net.ListenConfig
	}{{ports.HTTP, &l.HTTP, usual}, {ports.Control, &l.Control, segment.ListenConfig()},
		{ports.Health, &l.Health, usual}} {
		// Without an address the standard library takes [::] for both families, and 0.0.0.0 where IPv6 is off.
		opened, err := one.config.Listen(ctx, "tcp", fmt.Sprintf(":%d", one.port))
		if err != nil {
			return Listeners{}, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
		}
		*one.to = opened
	}
	var err error
	if l.Datagrams, err = datagram.Listen(ctx, ports.HTTP); err != nil {
		return Listeners{}, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close closes the listeners that are open.
func (l Listeners) Close() error {
	var all []error
	for _, one := range []net.Listener{l.HTTP, l.Control, l.Health} {
		if one != nil {
			all = append(all, one.Close())
		}
	}
	for _, one := range l.Datagrams {
		all = append(all, one.Close())
	}
	return errors.Join(all...)
}

// stopWithin is how long an agent waits at its end for calls and answers under way.
const stopWithin = time.Second

// Bounds of the responder.
const (
	maxProbeConnections  = 16384
	maxHealthConnections = 64
	maxRequestHeader     = 8 << 10
)

// Run serves until the context ends or a server fails, then stops the rounds, waits at most handOverWithin for their
// reports to be fetched, and closes the listeners.
func Run(ctx context.Context, config Config, listeners Listeners) error {
	serving, serverFailed := context.WithCancel(context.WithoutCancel(ctx))
	defer serverFailed()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := responder.New(responder.Config{Identity: config.Identity, MaxConnections: maxProbeConnections})
	certificates := newCertificates(config.TLSDir, config.Log)
	rounds := newRounds(config.Identity, answers, config.Log)
	control := controlServer(certificates, rounds, ladderprobe.Run)
	health := webServer(healthHandler(func() error { return errors.Join(ctx.Err(), certificates.ready()) }))

	var servers sync.WaitGroup
	failed := make(chan error, 4)
	serve := func(what string, run func() error) {
		servers.Go(func() {
			if err := run(); err != nil && !stopped(err) {
				failed <- fmt.Errorf("%s: %w", what, err)
				cancel()
				serverFailed()
			}
		})
	}
	// The responder outlives the rounds until their reports are fetched: other agents may still wait for answers, and
	// Services lead here until all nodes know that the pod ends.
	answering, endAnswers := context.WithCancel(context.WithoutCancel(ctx))
	defer endAnswers()
	serve("echo responder", func() error { return answers.Serve(answering, listeners.HTTP) })
	serve("datagram responder",
		func() error { return datagram.Serve(answering, listeners.Datagrams, config.Identity.Pod) })
	serve("control server", func() error { return control.Serve(listeners.Control) })
	serve("health server",
		func() error { return health.Serve(responder.Limit(listeners.Health, maxHealthConnections)) })
	config.Log.Info("agent is up", "pod", config.Identity.Pod, "node", config.Identity.Node,
		"http", listeners.HTTP.Addr().String(), "control", listeners.Control.Addr().String(), "health",
		listeners.Health.Addr().String())

	<-ctx.Done()
	config.Log.Info("agent stops")
	rounds.close()
	handing, handed := context.WithTimeout(serving, handOverWithin)
	rounds.handOver(handing)
	handed()
	endAnswers()
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer done()
	stop(ending, control, health)
	servers.Wait()
	close(failed)
	var all []error
	for err := range failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// stopped reports whether a server ended because the agent stopped it. The standard library returns an error then. gRPC
// returns one only when the server is stopped before it begins.
func stopped(err error) bool {
	return errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped)
}

// graceful is a web server of the standard library.
type graceful interface {
	Shutdown(ctx context.Context) error
	Close() error
}

// stop waits for calls and answers under way, and cuts off those that last longer than the context.
func stop(ctx context.Context, control interface {
	GracefulStop()
	Stop()
}, webServers ...graceful) {
	var ended sync.WaitGroup
	ended.Go(func() {
		late := context.AfterFunc(ctx, control.Stop)
		defer late()
		control.GracefulStop()
	})
	for _, server := range webServers {
		ended.Go(func() {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		})
	}
	ended.Wait()
}

// webServer returns a server that bounds the time and the headers of every client.
func webServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    maxRequestHeader,
		// The standard library would log every client that goes away, and reports already count those.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}
