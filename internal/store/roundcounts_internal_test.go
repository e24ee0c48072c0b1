package store

import (
	"slices"
	"testing"
)

func TestATaskIsDueWithItsFirstRoundAndAfterATwentiethOfTheLimit(t *testing.T) {
	var c roundCounts
	if c.add("u1") || len(c.popDue()) > 0 {
		t.Error("a task is due although there is no limit")
	}
	c.watch(60)
	for round := 1; round <= 10; round++ {
		due := round%3 == 1 // the first one, then each third
		if got := c.add("u1"); got != due {
			t.Errorf("round %d: due is %v", round, got)
		}
		if got := c.popDue(); slices.Contains(got, "u1") != due {
			t.Errorf("round %d: due are %v", round, got)
		}
	}
	c.add("u2")
	c.forget("u2")
	if got := c.popDue(); len(got) > 0 {
		t.Errorf("a task that was deleted is due: %v", got)
	}
	if !c.add("u2") {
		t.Error("a task of the same UID is not due with its first round")
	}
	c.watch(1)
	for round := range 3 {
		if !c.add("u3") {
			t.Errorf("round %d of a task that keeps one is not due", round)
		}
	}
}
