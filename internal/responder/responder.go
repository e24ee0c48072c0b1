// Package responder is the server that answers the probes of other agents: HTTP/1.1 of our own, for Linux.
//
// Connections are spread over shards. Each is one thread with its own epoll set, which accepts, reads, answers and keeps the deadlines,
// without a goroutine, a timer or garbage for each connection or request. What an answer says and how rounds are counted comes from
// package httpprobe, whose Responder on net/http is the reference, and serves wherever this server cannot.
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
	// stopTime is how long answers under way may take after the end.
	stopTime = time.Second
	// lingerTime is how long a connection stays that has to be read to its end, so that the client sees the answer before a reset.
	lingerTime = time.Second
)

// Config is all that a responder needs to know. Zero values are the defaults.
type Config struct {
	Identity echo.Identity
	// Shards is the number of threads, at most 64; 0 is GOMAXPROCS without one, which is for all else that the agent does.
	Shards int
	// MaxConnections bounds those that are open at once; further ones wait in the kernel's queue.
	MaxConnections int
	// Idle is how long a connection without a request stays open: for more than two pauses of a persistent stream; see
	// echo.LongestPause.
	Idle time.Duration
	// Header bounds the time from a request's start to the end of its head, Request that to the end of its body: it is the longer one.
	// The first request starts with its connection.
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

// Served is how many requests of the round arrived whole; see Rounds.
func (r *Responder) Served(round string) uint64 { return r.handler.Served(round) }

// SetOptions says how requests of the round are answered until Forget; see Rounds.
func (r *Responder) SetOptions(round string, o echo.Options) error {
	if err := r.handler.SetOptions(round, o); err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	return nil
}

// Forget takes back what SetOptions said of the round.
func (r *Responder) Forget(round string) { r.handler.Forget(round) }

// Serve answers on the listener, which it closes, until the context ends; then answers under way have a second to end, and it returns nil.
// On Linux the listener is best one of TCP without a wrapper: all others, and other systems, have net/http with the same bounds.
func (r *Responder) Serve(ctx context.Context, l net.Listener) error {
	if tcp, ok := l.(*net.TCPListener); ok {
		return r.serve(ctx, tcp)
	}
	return r.serveHandler(ctx, l)
}
