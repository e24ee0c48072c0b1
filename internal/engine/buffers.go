package engine

import (
	"errors"
	"sync/atomic"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

const (
	// smallBuffer holds every usual answer of an agent.
	smallBuffer = 4 << 10
	// largeBuffer holds every answer that is accepted, with a line of framing behind it.
	largeBuffer = echo.MaxBodyBytes + 1 + 2*maxWindow
	// keepSmall and keepLarge are how many unused buffers are kept.
	keepSmall, keepLarge = 1024, 8
	// largeAtOnce is how many large buffers an engine lends at the same time: 75 MB, whatever thousands of servers send slowly.
	largeAtOnce = 1024
)

// errRoom is for an answer that arrives while as many large ones are under way as the engine has memory for.
var errRoom = errors.New("the agent has no memory for so many large answers at once")

// buffers lends buffers to attempts that have an answer under way.
type buffers struct {
	small, large [][]byte
	// lent is how many large ones are lent, by all shards together.
	lent *atomic.Int64
}

// grow returns a buffer with free space that holds what b holds; b is nil at first. It is an error when b has the largest size, and
// when there are too many of that.
func (l *buffers) grow(b []byte) ([]byte, error) {
	switch {
	case len(b) < cap(b):
		return b, nil
	case b == nil:
		return take(&l.small, smallBuffer), nil
	case cap(b) != smallBuffer:
		return b, httpprobe.ErrBody
	case l.lent.Add(1) > largeAtOnce:
		l.lent.Add(-1)
		return b, errRoom
	}
	larger := append(take(&l.large, largeBuffer), b...)
	l.give(b)
	return larger, nil
}

func take(from *[][]byte, size int) []byte {
	n := len(*from)
	if n == 0 {
		return make([]byte, 0, size)
	}
	b := (*from)[n-1]
	*from = (*from)[:n-1]
	return b[:0]
}

// give takes a buffer back, or nil.
func (l *buffers) give(b []byte) {
	switch cap(b) {
	case smallBuffer:
		if len(l.small) < keepSmall {
			l.small = append(l.small, b)
		}
	case largeBuffer:
		l.lent.Add(-1)
		if len(l.large) < keepLarge {
			l.large = append(l.large, b)
		}
	}
}
