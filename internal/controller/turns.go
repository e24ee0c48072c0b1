package controller

import (
	"slices"
	"sync"
)

// turns shares a number of places among tasks, first come, first served. Nobody waits: who finds no place is in the
// line from then on, and is told when its turn has come.
type turns struct {
	mu   sync.Mutex
	free int
	line []string
}

func newTurns(places int) *turns { return &turns{free: places} }

// take takes a place unless those that came before have a claim to all that are free.
func (t *turns) take(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.line, name)
	if at < 0 {
		at = len(t.line)
		t.line = append(t.line, name)
	}
	if at >= t.free {
		return false
	}
	t.line = slices.Delete(t.line, at, at+1)
	t.free--
	return true
}

// give gives a place back and returns whose turn it is now.
func (t *turns) give() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	return t.next()
}

// leave takes one that needs no place any more out of the line, and returns whose turn it is now.
func (t *turns) leave(name string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.line, name)
	if at < 0 {
		return nil
	}
	t.line = slices.Delete(t.line, at, at+1)
	return t.next()
}

func (t *turns) next() []string { return slices.Clone(t.line[:min(t.free, len(t.line))]) }
