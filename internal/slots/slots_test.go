package slots

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// forward and backward read a list from either end.
func forward[T any](t *Table[T], l List) (all []int32) {
	for i := l.First; i != None; i = t.links[i].next {
		all = append(all, i)
	}
	return all
}

func backward[T any](t *Table[T], l List) (all []int32) {
	for i := l.Last; i != None; i = t.links[i].previous {
		all = append(all, i)
	}
	return all
}

func TestSlotsAreUsedAgainAndHoldTheirValues(t *testing.T) {
	var table Table[string]
	a, b := table.Acquire(), table.Acquire()
	*table.At(a), *table.At(b) = "a", "b"
	table.Release(a)
	if c := table.Acquire(); c != a || *table.At(c) != "a" || *table.At(b) != "b" || table.Len() != 2 {
		t.Errorf("slot %d of %d holds %q beside %q; want slot %d of 2, with what its last owner left", c, table.Len(),
			*table.At(c), *table.At(b), a)
	}
}

func TestListsAreWhatSlicesWouldBe(t *testing.T) {
	var table Table[int]
	random := rand.New(rand.NewPCG(1, 2))
	lists, want := [3]List{NewList(), NewList(), NewList()}, [3][]int32{}
	for range 5000 {
		k := random.IntN(len(lists))
		switch at := random.IntN(4); {
		case at == 0:
			i := table.Acquire()
			table.PushFront(&lists[k], i)
			want[k] = slices.Insert(want[k], 0, i)
		case at == 1:
			i := table.Acquire()
			table.PushBack(&lists[k], i)
			want[k] = append(want[k], i)
		case len(want[k]) > 0:
			n := random.IntN(len(want[k]))
			i := want[k][n]
			table.Remove(&lists[k], i)
			table.Release(i)
			want[k] = slices.Delete(want[k], n, n+1)
		}
	}
	for k := range lists {
		got := forward(&table, lists[k])
		if diff := cmp.Diff(want[k], got); diff != "" {
			t.Errorf("list %d (-want +got):\n%s", k, diff)
		}
		slices.Reverse(got)
		if diff := cmp.Diff(got, backward(&table, lists[k])); diff != "" {
			t.Errorf("list %d from its end (-want +got):\n%s", k, diff)
		}
	}
}
