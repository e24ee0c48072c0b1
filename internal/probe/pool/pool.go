// Package pool keeps connections that have nothing under way for the next attempt at the same place.
package pool

import (
	"sync"

	"kdoctor.io/kdoctor/internal/probe"
)

// State is what became of a connection while it was idle.
type State uint8

// The states.
const (
	// Open: the other side left it open and sent nothing.
	Open State = iota
	// Reset: the other side, or something on the way, reset it.
	Reset
	// Closed: the other side closed it in good order.
	Closed
	// Unusable: bytes came that nobody asked for, and would be taken for the next answer.
	Unusable
)

// Note counts a connection in the state. One that is open is not lost, nor one that is spoilt: that is for us to end.
func (s State) Note(lost *probe.Lost) {
	switch s {
	case Reset:
		lost.Resets++
	case Closed:
		lost.Closes++
	case Open, Unusable:
	}
}

// Pool holds idle connections by what they lead to. It has as many for a place as attempts were under way there at once, drops those
// that ended meanwhile when it looks for an open one, and is safe for concurrent use.
type Pool[Place comparable, Conn any] struct {
	check func(Conn) State
	drop  func(Conn)

	mu     sync.Mutex
	idle   map[Place][]Conn
	closed bool
}

// New makes a pool. look finds out what became of an idle connection, drop closes one.
func New[Place comparable, Conn any](look func(Conn) State, drop func(Conn)) *Pool[Place, Conn] {
	return &Pool[Place, Conn]{check: look, drop: drop, idle: map[Place][]Conn{}}
}

// Acquire returns the open connection to the place that was used last, and reports whether there is one. lost are those
// that it found ended by the other side before it came to that one: how long ago is not known, and those behind it are
// not looked at.
func (p *Pool[Place, Conn]) Acquire(to Place) (conn Conn, lost probe.Lost, ok bool) {
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

func (p *Pool[Place, Conn]) pop(to Place) (conn Conn, ok bool) {
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

// Release keeps a connection over which nothing is under way any more, or drops it when the pool is closed.
func (p *Pool[Place, Conn]) Release(to Place, conn Conn) {
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

// Close drops what is idle, and what becomes idle later.
func (p *Pool[Place, Conn]) Close() {
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
