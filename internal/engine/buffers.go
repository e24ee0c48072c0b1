package engine

import (
	"errors"
	"sync/atomic"

	"kdoctor.io/kdoctor/internal/buffers"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

const (
	// smallBuffer holds every usual answer of an agent, in bytes.
	smallBuffer = 4 << 10
	// largeBuffer holds every answer that is accepted, and a line of framing after it.
	largeBuffer = echo.MaxBodyBytes + 1 + 2*maxWindow
	// keepSmall and keepLarge are how many unused buffers a shard keeps.
	keepSmall, keepLarge = 1024, 8
	// largeAtOnce is how many large buffers an engine lends at the same time: 75 MB, however many servers send slowly.
	largeAtOnce = 1024
)

// errRoom is for an answer that arrives while the engine has no memory for another large one.
var errRoom = errors.New("the agent has no memory for so many large answers at once")

// lender lends buffers to attempts that have an answer under way.
type lender struct {
	small, large buffers.FreeList
	// lent is how many large ones all shards have lent together.
	lent *atomic.Int64
}

func newLender(lent *atomic.Int64) lender {
	return lender{
		small: buffers.FreeList{Size: smallBuffer, Keep: keepSmall},
		large: buffers.FreeList{Size: largeBuffer, Keep: keepLarge},
		lent:  lent,
	}
}

// grow returns a buffer with free space that holds what b holds; b is nil at first. It fails when b has the largest
// size, and when the engine has lent largeAtOnce of that size.
func (l *lender) grow(b []byte) ([]byte, error) {
	switch {
	case len(b) < cap(b):
		return b, nil
	case b == nil:
		return l.small.Acquire(), nil
	case cap(b) != smallBuffer:
		return b, httpprobe.ErrBody
	case l.lent.Add(1) > largeAtOnce:
		l.lent.Add(-1)
		return b, errRoom
	}
	larger := append(l.large.Acquire(), b...)
	l.small.Release(b)
	return larger, nil
}

// release takes a buffer back, or nil.
func (l *lender) release(b []byte) {
	if !l.small.Release(b) && l.large.Release(b) {
		l.lent.Add(-1)
	}
}
