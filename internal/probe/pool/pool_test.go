package pool_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/pool"
)

func TestPoolGivesTheLastOpenOneAndDropsTheRest(t *testing.T) {
	states := map[int]pool.State{}
	var dropped []int
	p := pool.New[string](func(c int) pool.State { return states[c] }, func(c int) { dropped = append(dropped, c) })
	taken := func(place string, want int, lost probe.Lost, there bool) {
		t.Helper()
		if got, gone, ok := p.Acquire(place); got != want || gone != lost || ok != there {
			t.Errorf("from %s comes %d, %v, with %+v lost, want %d, %v, with %+v", place, got, ok, gone, want, there,
				lost)
		}
	}
	take := func(place string, want int, there bool) {
		t.Helper()
		taken(place, want, probe.Lost{}, there)
	}
	take("a", 0, false)
	for i := 1; i <= 4; i++ {
		p.Release("a", i)
	}
	p.Release("b", 5)
	take("a", 4, true)
	states[3], states[2] = pool.Reset, pool.Closed
	taken("a", 1, probe.Lost{Resets: 1, Closes: 1}, true)
	take("a", 0, false)
	for i := 11; i <= 15; i++ {
		p.Release("a", i)
		states[i] = pool.Reset
	}
	states[11], states[14] = pool.Open, pool.Unusable
	taken("a", 11, probe.Lost{Resets: 3}, true)
	p.Release("a", 16)
	states[16] = pool.Closed
	taken("a", 0, probe.Lost{Closes: 1}, false)
	take("b", 5, true)
	p.Release("b", 6)
	p.Close()
	take("b", 0, false)
	p.Release("b", 7)
	take("b", 0, false)
	p.Close()
	if diff := cmp.Diff([]int{3, 2, 15, 14, 13, 12, 16, 6, 7}, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}
