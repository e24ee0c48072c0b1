package sample

import "testing"

func Test(t *testing.T) {
	for n, want := range map[int]bool{-1: false, 5: true, 11: false} {
		if Fits(n) != want {
			t.Errorf("Fits(%d) is %t", n, !want)
		}
	}
	if got := Sum("", 1, 2, 2, 3); got != 6 {
		t.Errorf("the sum is %d", got)
	}
	if s := first(); !s.open || s.sign(s.open) != "open" {
		t.Error("the first shop is closed")
	}
}
