// Package responder is the server that answers the probes of other agents. Package echo says what an answer holds.
//
// Responder is HTTP/1.1 of our own, for Linux. Connections are spread over shards. A shard is one thread with its own
// epoll set. The thread accepts, reads, answers and keeps the deadlines, without a goroutine, a timer or garbage for
// each connection or request.
//
// Handler answers the same on net/http. It is the reference for Responder, which serves by it on other systems and on
// listeners that are not TCP.
package responder

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
)

// Defaults and bounds of a Config.
const (
	DefaultConnections = 16384
	DefaultIdle        = 2*echo.LongestPause + 5*time.Second
	DefaultHeader      = 5 * time.Second
	DefaultRequest     = 10 * time.Second
	DefaultWrite       = 10 * time.Second

	// MaxHeader bounds the head of a request, from its first byte to the blank line.
	MaxHeader = 8 << 10
	// maxShards is how many threads are worth their memory.
	maxShards = 64
	// stopTime is how long answers under way may take after the end of the context.
	stopTime = time.Second
	// lingerTime is how long a connection is read after the last answer, so that the client sees the answer before a
	// reset.
	lingerTime = time.Second
)

// Config is what a responder needs to know. Zero values are the defaults.
type Config struct {
	Identity echo.Identity
	// Shards is the number of threads, at most 64; 0 is GOMAXPROCS less one, which is left to the rest of the agent.
	Shards int
	// MaxConnections bounds the connections that are open at once. Further ones wait in the kernel's queue.
	MaxConnections int
	// Idle is how long a connection without a request stays open: more than two pauses of a persistent stream (see
	// echo.LongestPause).
	Idle time.Duration
	// Header bounds the time from a request's start to the end of its head, Request the time to the end of its body.
	// Request is at least Header. The first request starts with its connection.
	Header, Request time.Duration
	// Write bounds the time that a client may take to receive an answer.
	Write time.Duration
}

// Responder answers requests and counts them. It is safe for concurrent use.
type Responder struct {
	config  Config
	handler *Handler
}

// New makes a responder.
func New(config Config) *Responder {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&config.Idle, DefaultIdle)
	set(&config.Header, DefaultHeader)
	set(&config.Request, DefaultRequest)
	config.Request = max(config.Request, config.Header)
	set(&config.Write, DefaultWrite)
	if config.MaxConnections <= 0 {
		config.MaxConnections = DefaultConnections
	}
	if config.Shards <= 0 {
		config.Shards = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	config.Shards = min(config.Shards, config.MaxConnections, maxShards)
	return &Responder{config: config, handler: NewHandler(config.Identity)}
}

// Served returns how many requests of the round arrived completely; see Rounds.
func (r *Responder) Served(round string) uint64 { return r.handler.Served(round) }

// SetOptions sets how requests of the round are answered until Forget; see Rounds.
func (r *Responder) SetOptions(round string, o echo.Options) error {
	if err := r.handler.SetOptions(round, o); err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	return nil
}

// Forget removes the round's options.
func (r *Responder) Forget(round string) { r.handler.Forget(round) }

// Serve answers on the listener until the context ends, and closes the listener. Answers under way then have a second
// to end, and Serve returns nil. On Linux the listener should be a plain *net.TCPListener: all others are served by
// net/http with the same bounds.
func (r *Responder) Serve(ctx context.Context, l net.Listener) error {
	if tcp, ok := l.(*net.TCPListener); ok {
		return r.serve(ctx, tcp)
	}
	return r.serveHandler(ctx, l)
}
