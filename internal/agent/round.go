package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/digest"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/wire"
)

// round is one round, under way or ended.
type round struct {
	key      schedule.Key
	plan     mesh.Plan
	identity echo.Identity
	started  time.Time
	cancel   context.CancelFunc
	// watch is rounds.watch.
	watch watch
	// done is closed when the round has ended and sends nothing more.
	done chan struct{}
	// fetched is closed once the report of the end was given away.
	fetched chan struct{}
	once    sync.Once

	mu        sync.Mutex
	resources report.Resources
	observer  report.Observer
	// load is nil after the end. The encoded report takes a hundredth of its memory.
	load     measurement
	ended    time.Time
	complete bool
	encoded  []byte
	failure  error
	// state is the report of the end without paths and sums.
	state *agentv1.AgentReport
}

// run makes the round's attempts and blocks until the last one has ended.
func (r *round) run(ctx context.Context) {
	defer close(r.done)
	watching, stopWatching := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { r.watch(watching, r.observe) })
	complete := r.load.Run(ctx)
	stopWatching()
	watcher.Wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	// The end is counted by the monotonic clock: the controller refuses a report that ends before it starts.
	r.ended, r.complete = r.started.Add(time.Since(r.started)), complete
	r.encoded, r.failure = proto.Marshal(r.message())
	r.state = r.shown(digest.Digest{})
	r.load, r.plan = nil, mesh.Plan{}
}

func (r *round) observe(used report.Resources, observed report.Observer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resources, r.observer = used, observed
}

// message returns the report of this moment; r.mu is held and r.load is not nil.
func (r *round) message() *agentv1.AgentReport { return r.shown(digest.Of(r.plan, r.load.Paths())) }

// shown returns the report of this moment with the paths and sums; r.mu is held and r.load is not nil.
func (r *round) shown(d digest.Digest) *agentv1.AgentReport {
	m := wire.Report(report.AgentReport{
		Pod: r.identity.Pod, Node: r.identity.Node,
		Finished: r.complete,
		Started:  r.started, Ended: r.ended,
		Paths: d.Paths, Sums: d.Sums, NotListed: d.NotListed,
		Resources: r.resources,
		Observer:  r.observer,
	})
	m.Observer.Grid = r.load.Grid()
	m.Key = wire.Key(r.key)
	return m
}

// report returns the report of this moment, or of the round's end, with or without paths and sums. The caller adds
// Served.
func (r *round) report(stateOnly bool) (*agentv1.AgentReport, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.load != nil && stateOnly:
		return r.shown(digest.Digest{}), nil
	case r.load != nil:
		return r.message(), nil
	case stateOnly:
		return proto.CloneOf(r.state), nil
	}
	if r.failure != nil {
		return nil, fmt.Errorf("encode report: %w", r.failure)
	}
	var m agentv1.AgentReport
	if err := proto.Unmarshal(r.encoded, &m); err != nil {
		return nil, fmt.Errorf("decode stored report: %w", err)
	}
	return &m, nil
}

// handedOver notes that the report of the end was given away.
func (r *round) handedOver() { r.once.Do(func() { close(r.fetched) }) }

// remembered returns when the round ended and the size of its report in bytes; over is false while the round runs.
func (r *round) remembered() (ended time.Time, size int, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended, len(r.encoded), !r.ended.IsZero()
}

func (r *round) finished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complete
}
