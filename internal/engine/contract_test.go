//go:build linux

package engine

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
	"kdoctor.io/kdoctor/internal/target"
)

// single makes one attempt at a time with a shard of the engine. Its poller is opened beforehand, as in a run.
type single struct {
	config httpprobe.Config
	poller *epoll.Poller
	// shard is that of the last target, with the open connections to it.
	shard  *shard
	target target.Target
	null   *os.File
}

func newSingle(t testing.TB, config httpprobe.Config) *single {
	t.Helper()
	p, err := epoll.Open(epoll.Config{Precise: true})
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); _ = null.Close() })
	return &single{config: config, poller: p, null: null}
}

// Close closes the open connections.
func (a *single) Close() {
	if a.shard != nil {
		a.shard.closeAllIdle()
	}
}

func (a *single) Probe(ctx context.Context, to target.Target) (got probe.Sample) {
	if !Supports(to) {
		// As for a run: what the engine does not do is the other prober's.
		return httpprobe.New(a.config).Probe(ctx, to)
	}
	if a.shard == nil || a.target != to {
		a.Close()
		connection := mesh.NewConnection
		if a.config.Keep {
			connection = mesh.KeepAlive
		}
		e := New(Config{Round: a.config.Round, Source: a.config.Source, Installation: a.config.Installation,
			Status:  a.config.Status,
			Targets: []target.Target{to}, Load: mesh.Load{PerSecond: 1, Timeout: a.config.Timeout,
				Connection: connection}})
		a.shard, a.target = newShard(e, &e.parts[0], a.poller, time.Now()), to
	}
	s := a.shard
	s.record = func(_ *targetStream, sample *probe.Sample) { got = *sample }
	// As before every start in a run: what happened meanwhile is looked at first.
	if err := s.wait(0); err != nil {
		return probe.Sample{Outcome: probe.NotSent, Message: err.Error()}
	}
	now := s.now()
	s.begin(s.engine.paths[0].counted, now, now)
	stop := context.AfterFunc(ctx, a.poller.Interrupt)
	defer stop()
	s.run(ctx)
	// The race detector does not see the shard's own system calls. A read that it sees tells it that what the server
	// did before it wrote has happened.
	_, _ = a.null.Read(make([]byte, 1))
	return got
}

func TestEngineKeepsTheContractOfProbers(t *testing.T) {
	probetest.HTTP(t, func(c httpprobe.Config) probe.Prober { return newSingle(t, c) })
}

func TestErrorNumbersAtConnect(t *testing.T) {
	to := target.Target{ID: "t", Family: "IPv4", Address: blackHole(t)}
	probetest.Errnos(t, func(errno syscall.Errno) (got probe.Sample) {
		a := newSingle(t, httpprobe.Config{Timeout: 20 * time.Second})
		e := New(Config{Targets: []target.Target{to}, Load: mesh.Load{PerSecond: 1, Timeout: 20 * time.Second}})
		s := newShard(e, &e.parts[0], a.poller, time.Now())
		s.record = func(_ *targetStream, sample *probe.Sample) { got = *sample }
		s.begin(e.paths[0].counted, 0, 0)
		s.fail(s.underWay.First, errno)
		return got
	})
}

func TestOnlyPlainAddressesOfTheRightFamilyAreSupported(t *testing.T) {
	for _, c := range []struct {
		to   target.Target
		want bool
	}{
		{target.Target{Address: "http://198.18.0.1:80/kdoctoragent", Family: "IPv4"}, true},
		{target.Target{Address: "http://198.18.0.1", Family: "IPv4"}, true},
		{target.Target{Address: "http://[2001:db8::1]:8080/", Family: "IPv6"}, true},
		{target.Target{Address: "http://[2001:db8::1]:8080/", Family: "IPv4"}, false},
		{target.Target{Address: "http://[fe80::1%25eth0]:8080/", Family: "IPv6"}, false},
		{target.Target{Address: "http://name.example:80/", Family: "IPv4"}, false},
		{target.Target{Address: "http://name.example/", Dial: "198.18.0.1:80", Family: "IPv4"}, true},
		{target.Target{Address: "http://name.example/", Dial: "[2001:db8::1]:80", Family: "IPv6"}, true},
		{target.Target{Address: "http://198.18.0.1/", Dial: "[2001:db8::1]:80", Family: "IPv4"}, false},
		{target.Target{Address: "http://name.example/", Dial: "name.example:80", Family: "IPv4"}, false},
		{target.Target{Address: "http://name.example/", Dial: "198.18.0.1:0", Family: "IPv4"}, false},
		{target.Target{Address: "tcp://198.18.0.1:80", Family: "IPv4", Protocol: target.TCP}, true},
		{target.Target{Address: "tcp://name.example:80", Dial: "198.18.0.1:80", Family: "IPv4", Protocol: target.TCP},
			true},
		{target.Target{Address: "tcp://198.18.0.1", Family: "IPv4", Protocol: target.TCP}, false},
		{target.Target{Address: "http://198.18.0.1:80", Family: "IPv4", Protocol: target.TCP}, false},
		{target.Target{Address: "https://198.18.0.1:443", Family: "IPv4", Protocol: target.HTTP2}, false},
		{target.Target{Address: "https://198.18.0.1:443/", Family: "IPv4"}, false},
		{target.Target{Address: "http://198.18.0.1:99999/", Family: "IPv4"}, false},
		{target.Target{Address: "http://198.18.0.1:0/", Family: "IPv4"}, false},
		{target.Target{Address: "::", Family: "IPv4"}, false},
		{target.Target{}, false},
	} {
		if got := Supports(c.to); got != c.want {
			t.Errorf("support of %q, dialled at %q, in %s is %v, want %v", c.to.Address, c.to.Dial, c.to.Family, got,
				c.want)
		}
	}
}
