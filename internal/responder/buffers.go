package responder

import "kdoctor.io/kdoctor/internal/buffers"

const (
	// smallBuffer holds a usual request or answer, largeBuffer the longest head, in bytes.
	smallBuffer = 1 << 10
	largeBuffer = MaxHeader
	// keepSmall and keepLarge are how many unused buffers a shard keeps.
	keepSmall, keepLarge = 256, 64
	// maxLent bounds the buffers that a shard has lent, in bytes: beside the connections themselves, clients can make a
	// shard keep nothing else.
	maxLent = 32 << 20
)

// lender lends buffers to connections that have something under way.
type lender struct {
	small, large buffers.FreeList
	// lent is the size of all buffers that are lent, in bytes.
	lent int
}

func newLender() lender {
	return lender{
		small: buffers.FreeList{Size: smallBuffer, Keep: keepSmall},
		large: buffers.FreeList{Size: largeBuffer, Keep: keepLarge},
	}
}

// lend returns a buffer that begins with b and has room for that many bytes in all. It reports false when too much is
// lent.
func (l *lender) lend(b []byte, room int) ([]byte, bool) {
	var lent []byte
	switch {
	case room <= smallBuffer:
		lent = l.small.Acquire()
	case room <= largeBuffer:
		lent = l.large.Acquire()
	default:
		lent = make([]byte, 0, room)
	}
	if l.lent+cap(lent) > maxLent {
		return nil, false
	}
	l.lent += cap(lent)
	return append(lent, b...), true
}

// release takes a buffer back, or nil.
func (l *lender) release(b []byte) {
	l.lent -= cap(b)
	if !l.small.Release(b) {
		l.large.Release(b)
	}
}
