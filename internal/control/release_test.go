package control_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/topology"
)

// counted counts the connections that were made to a listener, and those that are open.
type counted struct {
	net.Listener
	made, open atomic.Int64
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.made.Add(1)
	c.open.Add(1)
	return &countedConn{Conn: conn, open: &c.open}, nil
}

type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// serveCounted runs the agent's server and counts its connections. Its buffers are as small as those of real agents.
func (i installation) serveCounted(a agentv1.AgentServiceServer) (netip.AddrPort, *counted) {
	i.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		i.t.Fatal(err)
	}
	counting := &counted{Listener: listener}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(i.serverTLS(pki.AgentName))),
		grpc.ReadBufferSize(4<<10), grpc.WriteBufferSize(4<<10))
	agentv1.RegisterAgentServiceServer(server, a)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(counting) })
	i.t.Cleanup(func() { server.Stop(); serving.Wait() })
	return netip.MustParseAddrPort(listener.Addr().String()), counting
}

// eventually waits at most 5 s for the number.
func eventually(t testing.TB, what string, got func() int64, want int64) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); got() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s is %d, want %d", what, got(), want)
		}
	}
}

func TestAReleasedAgentHasNoConnectionUntilTheNextCall(t *testing.T) {
	i := install(t)
	place, connections := i.serveCounted(&agent{pod: "a", started: map[string]bool{}})
	c := client(t, control.Config{TLS: i.clientTLS()})
	c.Release(at(place))
	for round := int64(1); round <= 2; round++ {
		for range 2 {
			if err := c.Start(t.Context(), at(place), plan()); err != nil {
				t.Fatal(err)
			}
		}
		if open, made := connections.open.Load(), connections.made.Load(); open != 1 || made != round {
			t.Errorf("round %d: %d connections are open and %d were made, want 1 and %d", round, open, made, round)
		}
		c.Release(at(place))
		eventually(t, "the number of open connections", connections.open.Load, 0)
	}
}

// held is an agent that says when a start has come, and answers the start when it may.
type held struct {
	agentv1.UnimplementedAgentServiceServer
	came, answer chan struct{}
}

func (h held) StartRound(context.Context, *agentv1.StartRoundRequest) (*agentv1.StartRoundResponse, error) {
	h.came <- struct{}{}
	<-h.answer
	return &agentv1.StartRoundResponse{}, nil
}

func TestACallUnderWayKeepsItsConnection(t *testing.T) {
	i := install(t)
	a := held{came: make(chan struct{}), answer: make(chan struct{})}
	place, connections := i.serveCounted(a)
	c := client(t, control.Config{TLS: i.clientTLS()})
	called := make(chan error)
	go func() { called <- c.Start(context.Background(), at(place), plan()) }()
	<-a.came
	c.Release(at(place))
	close(a.answer)
	if err := <-called; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if made := connections.made.Load(); made != 1 {
		t.Errorf("%d connections were made, want 1", made)
	}
}

// A released agent is checked as a new one is: the client keeps nothing of the earlier handshake.
func TestAReleasedAgentMustProveItselfAgain(t *testing.T) {
	i := install(t)
	own, other := i.clientTLS(), install(t).clientTLS()
	place, connections := i.serveCounted(&agent{pod: "a", started: map[string]bool{}})
	renewed := false
	c := client(t, control.Config{TLS: func() (*tls.Config, error) {
		if renewed {
			return other()
		}
		return own()
	}})
	if err := c.Start(t.Context(), at(place), plan()); err != nil {
		t.Fatal(err)
	}
	c.Release(at(place))
	eventually(t, "the number of open connections", connections.open.Load, 0)
	renewed = true
	if err := c.Start(t.Context(), at(place), plan()); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("an agent of an authority that is trusted no longer gave %v, want ErrUnreachable", err)
	}
}

// connect makes connections to so many agents, and returns what each of them costs at both ends in bytes.
func connect(t testing.TB, c *control.Client, place netip.AddrPort, agents int) uint64 {
	t.Helper()
	before := inUse()
	for n := range agents {
		if err := c.Start(context.Background(), numbered(place, n), plan()); err != nil {
			t.Fatal(err)
		}
	}
	return (inUse() - before) / uint64(agents)
}

func numbered(place netip.AddrPort, n int) topology.Agent {
	agent := at(place)
	agent.UID = fmt.Sprint("uid-", n)
	return agent
}

// inUse returns the live bytes of the heap. Stacks are left out: the race detector makes them larger.
func inUse() uint64 {
	var stats runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestAConnectionIsSmallAtBothEnds(t *testing.T) {
	const agents, most = 300, 64 << 10
	i := install(t)
	place, connections := i.serveCounted(&agent{pod: "a", started: map[string]bool{}})
	c := client(t, control.Config{TLS: i.clientTLS()})
	each := connect(t, c, place, agents)
	t.Logf("a connection takes %d bytes at both ends together", each)
	if each > most {
		t.Errorf("a connection takes %d bytes at both ends together, want at most %d", each, most)
	}
	for n := range agents {
		c.Release(numbered(place, n))
	}
	eventually(t, "the number of open connections", connections.open.Load, 0)
}
