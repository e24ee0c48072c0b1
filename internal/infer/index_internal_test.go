package infer

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestTheIndexFindsWhatAMapFinds(t *testing.T) {
	random, x, want := rand.New(rand.NewPCG(1, 2)), newIndex(), map[Component]int{}
	some := func(of string, n int) string { return fmt.Sprintf("%s%d", of, random.IntN(n)) }
	for step := range 20_000 {
		c := Component{Part: Part(some("part", 5))}
		if random.IntN(8) > 0 {
			c.Node = some("n", 30)
		}
		if random.IntN(3) == 0 {
			c.Peer = some("n", 30)
		}
		if random.IntN(6) == 0 {
			c.Service = some("service", 3)
		}
		number, ok := x.find(&c)
		if known, is := want[c]; ok != is || number != known {
			t.Fatalf("step %d: %+v is %d, %t; want %d, %t", step, c, number, ok, known, is)
		}
		if !ok && random.IntN(2) == 0 {
			want[c] = len(want)
			x.add(&c, want[c])
		}
	}
	if len(want) < 1000 {
		t.Errorf("only %d components were added", len(want))
	}
}
