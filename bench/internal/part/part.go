// Package part holds the parts of the benchmark: who competes in each, under what load, and which goals its figures are
// held against.
package part

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/peer"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/study"
)

// Ports of the servers, all on 127.0.0.1 and below those that the kernel gives to clients.
const (
	nginxPort = 18000
	ownPort   = 18001
	manyPort  = 20000
)

// tolerated is the share of requests that may fail in a run.
const tolerated = 0.01

// Programs finds the programs that take part.
type Programs struct {
	// Driver and Serve are the bench's own, Nginx the web server; they must be there.
	Driver, Serve, Nginx string
	// Peers are paths by name. A peer that is missing takes no part.
	Peers map[string]string
	// Lab is the lab program, and Image the archive with the agents' image.
	Lab, Image string
}

// Values are figures by name.
type Values map[string]float64

// Contestant is one side of a comparison.
type Contestant struct {
	Name string
	// Serve starts a server that lives for one run only; nil runs against the part's own nginx.
	Serve func(context.Context, Programs, string) (*rig.Server, error)
	// Asked servers end with their input and may have something to say; others end by a signal.
	Asked bool
	// Run makes one run.
	Run func(context.Context, Programs) (rig.Finished, Values, error)
	// Heard makes figures of what the server said.
	Heard func(stdout string) (Values, error)
}

// Part is one experiment.
type Part struct {
	Name, Title string
	// Ports is how many ports the shared nginx serves: 0 for none, 1 for nginxPort, more for those from manyPort on.
	Ports int
	// MostRounds bounds the rounds, 0 for no bound. Length is how long one run takes where it is not the usual length.
	MostRounds int
	Length     time.Duration
	// Prepare makes what all runs of the part need, and returns what takes it away again. With an error the part is not
	// measured.
	Prepare func(context.Context, Programs) (done func(context.Context) error, err error)
	// Shared tells that others may use the machine: nothing of the part depends on how fast it is.
	Shared      bool
	Contestants []Contestant
	Goals       []study.Goal
}

// Runner runs parts.
type Runner struct {
	Programs Programs
	Gate     rig.Gate
	Rounds   int
	// Length is the usual length of a run.
	Length time.Duration
	// Dir takes files of servers.
	Dir    string
	Random *rand.Rand
	// Progress is told what will be run, Record takes what was measured, Failed what could not be.
	Progress func(p Part, round, rounds int, contestant string)
	Record   func(study.Record) error
	Failed   func(p Part, contestant string, err error)
}

// RoundsOf is how many rounds the part has.
func (r Runner) RoundsOf(p Part) int {
	if p.MostRounds > 0 {
		return min(r.Rounds, p.MostRounds)
	}
	return r.Rounds
}

// Expected is how long the part takes when nothing is repeated.
func (r Runner) Expected(p Part) time.Duration {
	length := r.Length
	if p.Length > 0 {
		length = p.Length
	}
	// Starting programs and looking at the machine takes about half a second.
	return time.Duration(r.RoundsOf(p)*len(p.Contestants)) * (length + time.Second/2)
}

// UnreadyError is for a part that could not be prepared, and is not measured.
type UnreadyError struct{ Err error }

// Error is the reason.
func (e *UnreadyError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *UnreadyError) Unwrap() error { return e.Err }

// doneWithin bounds how long it may take to take away what was prepared.
const doneWithin = time.Minute

// Run runs one part: in each round every contestant once, in an order of its own. It ends early only when the context
// does, when a server cannot be started, when the machine is too busy or, with an UnreadyError, when the part cannot be
// prepared.
func (r Runner) Run(ctx context.Context, p Part) (err error) {
	if p.Prepare != nil {
		done, unready := p.Prepare(ctx, r.Programs)
		if ctx.Err() != nil && unready != nil {
			return ctx.Err()
		}
		if unready != nil {
			return &UnreadyError{unready}
		}
		defer func() {
			// What was prepared goes when the context has ended, too.
			detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneWithin)
			defer cancel()
			err = errors.Join(err, done(detached))
		}()
	}
	return r.rounds(ctx, p)
}

func (r Runner) rounds(ctx context.Context, p Part) error {
	var servers []int
	if p.Ports > 0 {
		first := manyPort
		if p.Ports == 1 {
			first = nginxPort
		}
		shared, err := rig.Nginx(ctx, r.Programs.Nginx, filepath.Join(r.Dir, p.Name), first, p.Ports)
		if err != nil {
			return err
		}
		defer func() { _, _, _ = shared.Stop(false) }()
		servers = append(servers, shared.PID())
	}
	rounds := r.RoundsOf(p)
	for round := range rounds {
		order := slices.Clone(p.Contestants)
		r.Random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, c := range order {
			r.Progress(p, round+1, rounds, c.Name)
			record, err := r.one(ctx, p, servers, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, rig.ErrBusy) {
				return err
			}
			if err != nil {
				r.Failed(p, c.Name, err)
				continue
			}
			record.Part, record.Round = p.Name, round
			if err := r.Record(record); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r Runner) one(ctx context.Context, p Part, servers []int, c Contestant) (study.Record, error) {
	var values Values
	gate := r.Gate
	if p.Shared {
		gate.Limit = math.Inf(1)
	}
	passed, err := gate.Try(ctx, servers, func() (rig.Finished, error) {
		var finished rig.Finished
		var err error
		finished, values, err = c.run(ctx, r.Programs, r.Dir)
		return finished, err
	})
	if err != nil {
		return study.Record{}, err
	}
	derive(values, passed)
	return study.Record{Contestant: c.Name, Values: values, Foreign: passed.Foreign, Repeats: passed.Repeats}, nil
}

func (c Contestant) run(ctx context.Context, programs Programs, dir string) (rig.Finished, Values, error) {
	if c.Serve == nil {
		return c.Run(ctx, programs)
	}
	server, err := c.Serve(ctx, programs, filepath.Join(dir, "server"))
	if err != nil {
		return rig.Finished{}, nil, err
	}
	finished, values, err := c.Run(ctx, programs)
	said, used, stopped := server.Stop(c.Asked)
	if err := errors.Join(err, stopped); err != nil {
		return rig.Finished{}, nil, err
	}
	finished.Beside += used
	if c.Heard != nil {
		heard, err := c.Heard(said)
		if err != nil {
			return rig.Finished{}, nil, err
		}
		for name, v := range heard {
			values[name] = v
		}
	}
	return finished, values, nil
}

// derive adds what follows from CPU time.
func derive(v Values, p rig.Passed) {
	v["client CPU s"], v["server CPU s"] = p.CPU, p.Server+p.Beside
	requests := v["requests"]
	if requests > 0 && p.CPU > 0 {
		v["requests/client CPU s"] = requests / p.CPU
		v["client CPU us/request"] = p.CPU * 1e6 / requests
	}
	if requests > 0 && p.Server+p.Beside > 0 {
		v["requests/server CPU s"] = requests / (p.Server + p.Beside)
	}
}

// stamping starts the server that takes stamps.
func stamping(args ...string) func(context.Context, Programs, string) (*rig.Server, error) {
	return func(ctx context.Context, programs Programs, _ string) (*rig.Server, error) {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ownPort))
		s, err := rig.Serve(ctx,
			rig.Command{Path: programs.Serve, Args: append([]string{"-address", address}, args...), CPU: rig.ServerCPU})
		if err != nil {
			return nil, err
		}
		if err := s.Ready(ctx, address); err != nil {
			_, _, _ = s.Stop(true)
			return nil, err
		}
		return s, nil
	}
}

// heardArrivals reads what the stamping server said.
func heardArrivals(stdout string) (Values, error) {
	var said message.Arrivals
	if err := json.Unmarshal([]byte(stdout), &said); err != nil {
		return nil, fmt.Errorf("read what the server saw: %w", err)
	}
	return Values{"arrived": float64(said.Count), "grid error p50 us": said.Error.P50 * 1e6,
		"grid error p99 us": said.Error.P99 * 1e6}, nil
}

// driver is a contestant that is the driver with the arguments.
func driver(name string, args ...string) Contestant {
	return Contestant{Name: name, Run: func(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
		finished, said, err := drive(ctx, programs, args...)
		if err != nil {
			return rig.Finished{}, nil, err
		}
		values, err := loadValues(said)
		return finished, values, err
	}}
}

func drive(ctx context.Context, programs Programs, args ...string) (rig.Finished, message.Load, error) {
	return heardLoad(ctx, rig.Command{Path: programs.Driver, Args: args, CPU: rig.ClientCPU})
}

// heardLoad runs the driver and reads what it says.
func heardLoad(ctx context.Context, command rig.Command) (rig.Finished, message.Load, error) {
	var said message.Load
	finished, err := rig.Run(ctx, command)
	if err != nil {
		return finished, said, err
	}
	if err := json.Unmarshal([]byte(finished.Stdout), &said); err != nil {
		return finished, said, fmt.Errorf("read what the driver measured: %w", err)
	}
	return finished, said, nil
}

// loadValues refuses loads in which too much failed: they would be fast for the wrong reason.
func loadValues(l message.Load) (Values, error) {
	if failed := l.Sent - min(l.Sent, l.OK); float64(failed) > tolerated*float64(l.Sent) {
		return nil, fmt.Errorf("%d of %d requests failed: %v", failed, l.Sent, l.Failures)
	}
	v := Values{
		"requests": float64(l.OK), "sent": float64(l.Sent), "missed": float64(l.Missed),
		"resident bytes": float64(l.Resident),
		"unaccounted":    float64(l.Scheduled) - float64(l.Sent) - float64(l.Missed),
	}
	if l.Scheduled > 0 {
		v["delivered %"] = 100 * float64(l.Sent) / float64(l.Scheduled)
	}
	if l.OK > 0 {
		v["timed by kernel %"] = 100 * float64(l.Kernel) / float64(l.OK)
	}
	if l.Grid {
		v["grid"] = 1
	}
	spread(v, "latency", l.Latency)
	spread(v, "response", l.Response)
	spread(v, "lag", l.Lag)
	return v, nil
}

func spread(v Values, name string, q message.Quantiles) {
	for at, seconds := range map[string]float64{"p50": q.P50, "p90": q.P90, "p95": q.P95, "p99": q.P99, "max": q.Max} {
		v[name+" "+at+" us"] = seconds * 1e6
	}
	v[name+" p50 ms"], v[name+" p99 ms"] = q.P50*1e3, q.P99*1e3
}

// competitor is a contestant that is a peer under the load.
func competitor(name string, load peer.Load) Contestant {
	return Contestant{Name: name, Run: func(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
		p, err := peer.Named(name)
		if err != nil {
			return rig.Finished{}, nil, err
		}
		if programs.Peers[name] == "" {
			return rig.Finished{}, nil, fmt.Errorf("%s is missing", name)
		}
		command := rig.Command{Path: programs.Peers[name], Args: p.Args(load), CPU: rig.ClientCPU}
		if p.Stdin != nil {
			command.Stdin = p.Stdin(load)
		}
		finished, err := rig.Run(ctx, command)
		if err != nil {
			return rig.Finished{}, nil, err
		}
		report := finished
		if p.Second != nil {
			report, err = rig.Run(ctx,
				rig.Command{Path: command.Path, Args: p.Second, Stdin: finished.Stdout, CPU: rig.ClientCPU})
			if err != nil {
				return rig.Finished{}, nil, err
			}
			finished.CPU += report.CPU
		}
		result, err := p.Parse(report.Stdout)
		if err != nil {
			return rig.Finished{}, nil, fmt.Errorf("%s: %w", name, err)
		}
		values, err := peerValues(result)
		return finished, values, err
	}}
}

func peerValues(r peer.Result) (Values, error) {
	if float64(r.Failed) > tolerated*float64(r.Requests) {
		return nil, fmt.Errorf("%d of %d requests failed", r.Failed, r.Requests)
	}
	v := Values{"requests": float64(r.Requests), "sent": float64(r.Requests)}
	for q, seconds := range r.Quantiles {
		v["response p"+strconv.FormatFloat(q*100, 'f', -1, 64)+" us"] = seconds * 1e6
	}
	return v, nil
}

// Available leaves out contestants that are peers whose program is missing.
func Available(p Part, programs Programs) Part {
	p.Contestants = slices.DeleteFunc(slices.Clone(p.Contestants), func(c Contestant) bool {
		_, err := peer.Named(c.Name)
		return err == nil && programs.Peers[c.Name] == ""
	})
	return p
}
