package load

// tally counts keys. Mostly the same key comes again, which costs a comparison; more than bound different keys are not
// told apart any more, and the counts of further ones are dropped.
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
	t.change(key)
}

// change puts away what was counted of the last key. Another key than that follows.
func (t *tally[K]) change(key K) {
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

// counts is a copy of what was counted, nil for nothing.
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
