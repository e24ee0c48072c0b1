//go:build linux

package responder

import (
	"testing"
	"unsafe"
)

func TestIdleConnectionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(connection{}); size > 300 {
		t.Errorf("a connection without buffers has %d bytes", size)
	}
}

func TestLentBuffersAreBounded(t *testing.T) {
	l := newLender()
	var lent [][]byte
	for {
		b, ok := l.lend(make([]byte, 10), 10)
		if !ok {
			break
		}
		lent = append(lent, b)
	}
	if len(lent) != maxLent/smallBuffer {
		t.Errorf("%d buffers are lent, want %d", len(lent), maxLent/smallBuffer)
	}
	for _, b := range lent {
		l.release(b)
	}
	l.release(nil)
	if l.lent != 0 || l.small.Len() != keepSmall {
		t.Errorf("%d bytes are lent and %d buffers kept", l.lent, l.small.Len())
	}
	if b, ok := l.lend([]byte("abc"), 100_000); !ok || string(b) != "abc" || cap(b) < 100_000 {
		t.Errorf("a large buffer holds %q in %d bytes", b, cap(b))
	}
}

func TestSharesAddUp(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64} {
		sum := 0
		for i := range n {
			part := share(100, n, i)
			if part < 100/n || part > 100/n+1 {
				t.Errorf("part %d of %d is %d", i, n, part)
			}
			sum += part
		}
		if sum != 100 {
			t.Errorf("%d parts add up to %d", n, sum)
		}
	}
}
