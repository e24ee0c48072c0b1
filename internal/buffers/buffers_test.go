package buffers

import "testing"

func TestFreeListKeepsAFewBuffersOfItsSize(t *testing.T) {
	l := FreeList{Size: 10, Keep: 2}
	first := append(l.Acquire(), "text"...)
	if cap(first) != 10 {
		t.Fatalf("a buffer has room for %d bytes, want 10", cap(first))
	}
	for _, b := range [][]byte{nil, make([]byte, 9), make([]byte, 11)} {
		if l.Release(b) {
			t.Errorf("a buffer of %d bytes is taken", cap(b))
		}
	}
	for _, b := range [][]byte{first, l.Acquire(), l.Acquire()} {
		if !l.Release(b) {
			t.Error("a buffer of the size is not taken")
		}
	}
	if l.Len() != 2 {
		t.Errorf("%d buffers are kept, want 2", l.Len())
	}
	for range 3 {
		if b := l.Acquire(); len(b) != 0 || cap(b) != 10 {
			t.Errorf("a buffer holds %d bytes and has room for %d", len(b), cap(b))
		}
	}
}
