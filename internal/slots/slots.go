// Package slots keeps values in numbered slots of one table, and links slots in lists by their numbers: for threads
// that look after many connections and want no garbage and no pointer for each.
package slots

// None is the number of no slot.
const None = -1

// Table hands out slots. The zero value is ready. It is for one goroutine.
type Table[T any] struct {
	values []T
	links  []links
	free   []int32
}

// links are the neighbours of a slot in its list.
type links struct{ previous, next int32 }

// Acquire returns a slot that nobody has. It holds what its last owner left, or the zero value. Pointers from At are
// invalid after Acquire.
func (t *Table[T]) Acquire() int32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	var zero T
	t.values, t.links = append(t.values, zero), append(t.links, links{})
	return int32(len(t.values) - 1) // #nosec G115 -- the bounds of connections are far below
}

// Release gives a slot back. The slot must be in no list.
func (t *Table[T]) Release(i int32) { t.free = append(t.free, i) }

// At returns the value in a slot.
func (t *Table[T]) At(i int32) *T { return &t.values[i] }

// Len returns how many slots there are, whether or not somebody has them. Their numbers are 0 to Len()-1.
func (t *Table[T]) Len() int { return len(t.values) }

// List is a list of slots of one table. A slot is in one list at most. NewList makes an empty one.
type List struct{ First, Last int32 }

// NewList returns an empty list.
func NewList() List { return List{None, None} }

// PushBack puts a slot at the end of a list.
func (t *Table[T]) PushBack(l *List, i int32) {
	t.links[i] = links{l.Last, None}
	if l.Last == None {
		l.First = i
	} else {
		t.links[l.Last].next = i
	}
	l.Last = i
}

// PushFront puts a slot at the front of a list.
func (t *Table[T]) PushFront(l *List, i int32) {
	t.links[i] = links{None, l.First}
	if l.First == None {
		l.Last = i
	} else {
		t.links[l.First].previous = i
	}
	l.First = i
}

// Remove takes a slot out of its list.
func (t *Table[T]) Remove(l *List, i int32) {
	at := t.links[i]
	if at.previous == None {
		l.First = at.next
	} else {
		t.links[at.previous].next = at.next
	}
	if at.next == None {
		l.Last = at.previous
	} else {
		t.links[at.next].previous = at.previous
	}
}
