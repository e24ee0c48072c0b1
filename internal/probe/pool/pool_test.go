package pool_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

func TestPoolGivesTheLastUsableAndDropsTheRest(t *testing.T) {
	dead := map[int]bool{}
	var dropped []int
	p := pool.New[string](func(c int) bool { return !dead[c] }, func(c int) { dropped = append(dropped, c) })
	take := func(place string, want int, there bool) {
		t.Helper()
		if got, ok := p.Take(place); got != want || ok != there {
			t.Errorf("from %s comes %d, %v, want %d, %v", place, got, ok, want, there)
		}
	}
	take("a", 0, false)
	for i := 1; i <= 4; i++ {
		p.Put("a", i)
	}
	p.Put("b", 5)
	take("a", 4, true)
	dead[3], dead[2] = true, true
	take("a", 1, true)
	take("a", 0, false)
	take("b", 5, true)
	p.Put("b", 6)
	p.Close()
	take("b", 0, false)
	p.Put("b", 7)
	take("b", 0, false)
	p.Close()
	if diff := cmp.Diff([]int{3, 2, 6, 7}, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}
