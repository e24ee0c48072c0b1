package controller

import (
	"slices"
	"testing"
)

func TestPlacesAreGivenInTheOrderInWhichTheyWereAskedFor(t *testing.T) {
	turns := newTurns(2)
	for i, name := range []string{"a", "b", "c", "d", "e", "c"} {
		if got, want := turns.take(name), i < 2; got != want {
			t.Fatalf("%s takes a place: %t, want %t", name, got, want)
		}
	}
	if next := turns.give(); !slices.Equal(next, []string{"c"}) {
		t.Fatalf("with a place given back it is the turn of %v, want c", next)
	}
	// Who was served, and comes again first, is behind those that wait.
	if turns.take("a") || turns.take("d") {
		t.Fatal("a place is taken that c has a claim to")
	}
	if next := turns.leave("c"); !slices.Equal(next, []string{"d"}) {
		t.Fatalf("without c it is the turn of %v, want d", next)
	}
	if next := turns.leave("c"); next != nil {
		t.Fatalf("one that is not in the line tells %v", next)
	}
	if !turns.take("d") || turns.take("a") || turns.take("e") {
		t.Fatal("d has the place, and nobody else")
	}
	if next := turns.give(); !slices.Equal(next, []string{"e"}) {
		t.Fatalf("it is the turn of %v, want e", next)
	}
	if next := turns.give(); !slices.Equal(next, []string{"e", "a"}) {
		t.Fatalf("it is the turn of %v, want e and a", next)
	}
	// Whoever comes may take one of two places, in any order of the first two.
	if !turns.take("a") || !turns.take("e") || turns.take("f") {
		t.Fatal("two places are taken by the two who waited, and no third")
	}
}
