//go:build linux

package engine

import (
	"cmp"
	"context"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	httpprobe "kdoctor.io/kdoctor/internal/probe/http"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Config is one load.
type Config struct {
	// Round, Source, Installation and Status are those of httpprobe.Config.
	Round, Source, Installation string
	Status                      int
	// Targets ought to be supported ones: attempts at others are counted as not sent.
	Targets []target.Target
	// Load's rate must be 1 or more, its timeout positive.
	Load mesh.Load
	// InFlight bounds the attempts under way at once, on all targets together; 0 is load.DefaultInFlight.
	InFlight int
	// Shards is how many threads share the targets; 0 leaves one CPU to the rest of the process.
	Shards int
}

// Engine is a load that can be run once and looked at while it runs.
type Engine struct {
	probe    httpprobe.Config
	pace     load.Pace
	lateness time.Duration
	requests uint64
	limit    int64
	lanes    []*lane
	shards   int

	inFlight atomic.Int64
}

// lane is one target, prepared.
type lane struct {
	*load.Account
	target  target.Target
	phase   time.Duration
	address unix.Sockaddr
	domain  int
	request []byte
	// retransmits counts segments that had to be sent again: loss that a success hides. Only the lane's shard touches it while it runs.
	retransmits uint64
}

// Supports tells whether the engine can probe the target: plain HTTP to an address of the target's own family. Names, which somebody must resolve,
// addresses with a zone and everything else are for httpprobe.
func Supports(t target.Target) bool {
	_, _, _, ok := prepare(t)
	return ok
}

func prepare(t target.Target) (to *url.URL, address unix.Sockaddr, domain int, ok bool) {
	to, err := url.Parse(t.Address)
	if err != nil || to.Scheme != "http" {
		return nil, nil, 0, false
	}
	ip, err := netip.ParseAddr(to.Hostname())
	if err != nil || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || (t.Family != "" && t.Family != topology.FamilyOf(ip)) {
		return nil, nil, 0, false
	}
	port, err := strconv.ParseUint(cmp.Or(to.Port(), "80"), 10, 16)
	if err != nil || port == 0 {
		return nil, nil, 0, false
	}
	if ip.Is4() {
		return to, &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}, unix.AF_INET, true
	}
	return to, &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}, unix.AF_INET6, true
}

// New prepares a load.
func New(config Config) *Engine {
	e := &Engine{
		probe: httpprobe.Config{Round: config.Round, Source: config.Source, Installation: config.Installation,
			Timeout: config.Load.Timeout, Status: config.Status},
		pace:     load.Pace{PerSecond: config.Load.PerSecond},
		requests: config.Load.Requests(),
		limit:    int64(cmp.Or(config.InFlight, load.DefaultInFlight)),
		shards:   max(1, min(len(config.Targets), cmp.Or(config.Shards, runtime.GOMAXPROCS(0)-1))),
	}
	e.lateness = e.pace.Lateness()
	for _, t := range config.Targets {
		l := &lane{Account: load.NewAccount(t), target: t, phase: e.pace.Phase(config.Source, t.ID)}
		if to, address, domain, ok := prepare(t); ok {
			if request, err := e.probe.Request(to); err == nil {
				l.address, l.domain, l.request = address, domain, request
			}
		}
		e.lanes = append(e.lanes, l)
	}
	return e
}

// Run makes all attempts that are due, waits for the last one, and reports whether the load came to its end.
// When the context ends first, attempts under way are aborted and counted so (they are Sent, and failed as Aborted);
// attempts that would have become due later are counted nowhere: Scheduled ends with them. Where the process has no descriptors
// left to wait with, all attempts are missed at once. Run must be called once.
func (e *Engine) Run(ctx context.Context) (complete bool) {
	start := time.Now()
	for _, l := range e.lanes {
		l.Begin(start)
	}
	shards := e.split(start)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		for _, s := range shards {
			s.poller.interrupt()
		}
	})
	var running sync.WaitGroup
	for _, s := range shards {
		running.Go(func() { s.thread(ctx) })
	}
	running.Wait()
	if !stop() {
		<-interrupted
	}
	for _, s := range shards {
		s.poller.close()
	}
	end := time.Now()
	for _, l := range e.lanes {
		l.End(start, end)
	}
	return ctx.Err() == nil
}

// split makes the shards, each with its part of the lanes in the order in which they are due.
func (e *Engine) split(start time.Time) []*shard {
	byPhase := slices.Clone(e.lanes)
	slices.SortStableFunc(byPhase, func(a, b *lane) int { return cmp.Compare(a.phase, b.phase) })
	parts := make([][]*lane, e.shards)
	for i, l := range byPhase {
		parts[i%len(parts)] = append(parts[i%len(parts)], l)
	}
	var shards []*shard
	for _, lanes := range parts {
		p, err := openPoller()
		if err != nil {
			for _, l := range lanes {
				l.Miss(e.requests)
			}
			continue
		}
		shards = append(shards, newShard(e, lanes, p, start))
	}
	return shards
}

// Paths is what was measured so far, in the order of the targets. Attempts under way are not in it, so that
// what report.Path promises of its counts holds at every moment. It may be called at any time.
func (e *Engine) Paths() []report.Path {
	paths := make([]report.Path, len(e.lanes))
	for i, l := range e.lanes {
		paths[i] = l.Report()
	}
	return paths
}
