// Package pool keeps connections that have nothing under way for the next attempt at the same place.
package pool

import "sync"

// Pool holds idle connections by what they lead to. It has as many for a place as attempts were under way there at once, drops those
// that ended meanwhile when it looks for a living one, and is safe for concurrent use.
type Pool[Place comparable, Conn any] struct {
	usable func(Conn) bool
	drop   func(Conn)

	mu     sync.Mutex
	idle   map[Place][]Conn
	closed bool
}

// New makes a pool. usable tells whether an idle connection can still be used, drop closes one.
func New[Place comparable, Conn any](usable func(Conn) bool, drop func(Conn)) *Pool[Place, Conn] {
	return &Pool[Place, Conn]{usable: usable, drop: drop, idle: map[Place][]Conn{}}
}

// Take returns the usable connection to the place that was used last, and reports whether there is one.
func (p *Pool[Place, Conn]) Take(to Place) (Conn, bool) {
	for {
		conn, ok := p.pop(to)
		if !ok || p.usable(conn) {
			return conn, ok
		}
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

// Put keeps a connection over which nothing is under way any more, or drops it when the pool is closed.
func (p *Pool[Place, Conn]) Put(to Place, conn Conn) {
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
