package responder

const (
	// smallBuffer holds what is usual of a request or an answer, largeBuffer the longest head.
	smallBuffer = 1 << 10
	largeBuffer = MaxHeader
	// keepSmall and keepLarge are how many unused buffers are kept.
	keepSmall, keepLarge = 256, 64
	// maxHeld bounds the buffers that are lent, in bytes: with the connections themselves it is all that clients can make a shard keep.
	maxHeld = 32 << 20
)

// stock lends buffers to connections that have something under way.
type stock struct {
	small, large [][]byte
	held         int
}

// hold returns a buffer that begins with b and has room for so many bytes in all. It reports false when too much is lent.
func (l *stock) hold(b []byte, room int) ([]byte, bool) {
	var lent []byte
	switch {
	case room <= smallBuffer:
		lent = take(&l.small, smallBuffer)
	case room <= largeBuffer:
		lent = take(&l.large, largeBuffer)
	default:
		lent = make([]byte, 0, room)
	}
	if l.held+cap(lent) > maxHeld {
		return nil, false
	}
	l.held += cap(lent)
	return append(lent, b...), true
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

// give takes a buffer back; nil is none.
func (l *stock) give(b []byte) {
	l.held -= cap(b)
	switch {
	case cap(b) == smallBuffer && len(l.small) < keepSmall:
		l.small = append(l.small, b)
	case cap(b) == largeBuffer && len(l.large) < keepLarge:
		l.large = append(l.large, b)
	}
}
