// Package pool stores idle connections for the next attempt at the same destination.
package pool

import (
	"sync"

	"kdoctor.io/kdoctor/internal/probe"
)

// State is what became of a connection while it was idle.
type State uint8

// The states.
const (
	// Open: the other side left the connection open and sent nothing.
	Open State = iota
	// Reset: the other side, or something on the way, reset the connection.
	Reset
	// Closed: the other side closed the connection in good order.
	Closed
	// Unusable: bytes arrived that nobody asked for, and that would be taken for the next answer.
	Unusable
)

// Note counts a connection in the state. An open connection is not lost. Neither is an unusable one: this side ends it.
func (s State) Note(lost *probe.Lost) {
	switch s {
	case Reset:
		lost.Resets++
	case Closed:
		lost.Closes++
	case Open, Unusable:
	}
}

// Pool holds idle connections by destination, as many for each as attempts were under way at once. It drops connections
// that ended meanwhile when it looks for an open one. It is safe for concurrent use.
type Pool[Destination comparable, Conn any] struct {
	check func(Conn) State
	drop  func(Conn)

	mu     sync.Mutex
	idle   map[Destination][]Conn
	closed bool
}

// New makes a pool. check returns what became of an idle connection, drop closes a connection.
func New[Destination comparable, Conn any](check func(Conn) State, drop func(Conn)) *Pool[Destination, Conn] {
	return &Pool[Destination, Conn]{check: check, drop: drop, idle: map[Destination][]Conn{}}
}

// Acquire returns the open connection to the destination that was used last, and reports whether there is one. lost
// counts the connections that the other side had ended and that Acquire found before. How long ago they ended is not
// known. Older connections are not checked.
func (p *Pool[Destination, Conn]) Acquire(to Destination) (conn Conn, lost probe.Lost, ok bool) {
	for {
		if conn, ok = p.pop(to); !ok {
			return conn, lost, false
		}
		state := p.check(conn)
		if state == Open {
			return conn, lost, true
		}
		state.Note(&lost)
		p.drop(conn)
	}
}

func (p *Pool[Destination, Conn]) pop(to Destination) (conn Conn, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[to]
	if len(idle) == 0 {
		return conn, false
	}
	last := len(idle) - 1
	conn, idle[last] = idle[last], conn
	p.idle[to] = idle[:last]
	return conn, true
}

// Release stores a connection over which nothing is under way, or drops it when the pool is closed.
func (p *Pool[Destination, Conn]) Release(to Destination, conn Conn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle[to] = append(p.idle[to], conn)
	}
	p.mu.Unlock()
	if closed {
		p.drop(conn)
	}
}

// Close drops the idle connections, and those released later.
func (p *Pool[Destination, Conn]) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, conns := range idle {
		for _, conn := range conns {
			p.drop(conn)
		}
	}
}
