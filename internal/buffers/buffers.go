// Package buffers keeps unused buffers for the next use.
package buffers

// FreeList keeps buffers of one size. It is for one goroutine. Size and Keep are set before the first use.
type FreeList struct {
	// Size is the capacity of every buffer, in bytes.
	Size int
	// Keep is how many unused buffers are kept.
	Keep int
	free [][]byte
}

// Acquire returns an empty buffer of the list's size.
func (l *FreeList) Acquire() []byte {
	n := len(l.free)
	if n == 0 {
		return make([]byte, 0, l.Size)
	}
	b := l.free[n-1]
	l.free = l.free[:n-1]
	return b[:0]
}

// Release takes a buffer back. It reports false for a buffer of another size, which it leaves alone.
func (l *FreeList) Release(b []byte) bool {
	if cap(b) != l.Size {
		return false
	}
	if len(l.free) < l.Keep {
		l.free = append(l.free, b)
	}
	return true
}

// Len returns how many unused buffers are kept.
func (l *FreeList) Len() int { return len(l.free) }
