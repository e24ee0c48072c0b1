package load

// tally counts keys. When the same key comes again, as it mostly does, add costs one comparison. A tally has at most
// bound different keys and drops the counts of all others.
type tally[K comparable] struct {
	last  K
	n     uint64
	rest  map[K]uint64
	bound int
}

// add counts the key.
func (t *tally[K]) add(key K) {
	if t.n > 0 && key == t.last {
		t.n++
		return
	}
	t.startNew(key)
}

// startNew stores the count of the last key and starts to count the key, which is another one.
func (t *tally[K]) startNew(key K) {
	if t.n > 0 {
		if t.rest == nil {
			t.rest = map[K]uint64{}
		}
		t.rest[t.last] += t.n
		t.n = 0
	}
	if _, known := t.rest[key]; known || len(t.rest) < t.bound {
		t.last, t.n = key, 1
	}
}

// counts returns a copy of the counts, nil when there are none.
func (t *tally[K]) counts() map[K]uint64 {
	if t.n == 0 && t.rest == nil {
		return nil
	}
	all := make(map[K]uint64, len(t.rest)+1)
	for key, n := range t.rest {
		all[key] = n
	}
	if t.n > 0 {
		all[t.last] += t.n
	}
	return all
}
