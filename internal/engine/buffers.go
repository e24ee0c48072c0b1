package engine

import httpprobe "kdoctor.io/kdoctor/internal/probe/http"

const (
	// smallBuffer holds every answer of an agent.
	smallBuffer = 4 << 10
	// largeBuffer holds every answer that is accepted, with a line of framing behind it.
	largeBuffer = httpprobe.MaxBodyBytes + 1 + 2*maxWindow
	// keepSmall and keepLarge are how many unused buffers are kept.
	keepSmall, keepLarge = 1024, 8
)

// buffers lends buffers to attempts that have an answer under way.
type buffers struct{ small, large [][]byte }

// grow returns a buffer with free space that holds what b holds; b is nil at first. It reports false when b has the largest size.
func (l *buffers) grow(b []byte) ([]byte, bool) {
	switch {
	case len(b) < cap(b):
		return b, true
	case b == nil:
		return take(&l.small, smallBuffer), true
	case cap(b) == smallBuffer:
		larger := append(take(&l.large, largeBuffer), b...)
		l.give(b)
		return larger, true
	}
	return b, false
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

func (l *buffers) give(b []byte) {
	switch {
	case cap(b) == smallBuffer && len(l.small) < keepSmall:
		l.small = append(l.small, b)
	case cap(b) == largeBuffer && len(l.large) < keepLarge:
		l.large = append(l.large, b)
	}
}
