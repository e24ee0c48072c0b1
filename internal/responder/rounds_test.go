package responder

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/echo"
)

func TestOptionsAreCheckedBeforeTheyCount(t *testing.T) {
	for _, c := range []struct {
		name  string
		round string
		o     echo.Options
		ok    bool
	}{
		{"the zero value is accepted", "u/1/1", echo.Options{}, true},
		{"the largest values are accepted", "u/1/1",
			echo.Options{Bytes: echo.MaxBodyBytes, Delay: echo.MaxDelay, Status: 599},
			true},
		{"an answer of one byte too many is refused", "u/1/1", echo.Options{Bytes: echo.MaxBodyBytes + 1}, false},
		{"a negative length is refused", "u/1/1", echo.Options{Bytes: -1}, false},
		{"a delay that is too long is refused", "u/1/1", echo.Options{Delay: echo.MaxDelay + 1}, false},
		{"a negative delay is refused", "u/1/1", echo.Options{Delay: -1}, false},
		{"an interim status is refused", "u/1/1", echo.Options{Status: 199}, false},
		{"a status above 599 is refused", "u/1/1", echo.Options{Status: 600}, false},
		{"a key of the wrong form is refused", "u", echo.Options{}, false},
	} {
		var r Rounds
		if err := r.SetOptions(c.round, c.o); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		want := echo.Options{}
		if c.ok {
			want = c.o
		}
		if diff := cmp.Diff(want, r.Options([]byte(c.round))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOptionsHoldForThePersistentStreamAndUntilForgotten(t *testing.T) {
	var r Rounds
	o := echo.Options{Delay: time.Second}
	if err := r.SetOptions("u/1/1", o); err != nil {
		t.Fatal(err)
	}
	for round, want := range map[string]echo.Options{"u/1/1": o, "u/1/1/kept": o, "u/1/2": {}, "u/1/1/": {}, "": {}} {
		if got := r.Options([]byte(round)); got != want {
			t.Errorf("options of %q are %+v, want %+v", round, got, want)
		}
	}
	r.Count([]byte("u/1/1"))
	r.Forget("u/1/1")
	if got := r.Options([]byte("u/1/1")); got != (echo.Options{}) || r.Served("u/1/1") != 1 {
		t.Errorf("after all, options are %+v and %d requests are counted", got, r.Served("u/1/1"))
	}
}

func TestRequestsFromAnywhereDisplaceNoOptions(t *testing.T) {
	var r Rounds
	for i := range MaxRounds {
		if err := r.SetOptions(fmt.Sprintf("u/1/%d", i), echo.Options{Bytes: i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * MaxRounds {
		r.Count(fmt.Appendf(nil, "flood/1/%d", i))
	}
	if err := r.SetOptions("u/1/1", echo.Options{Bytes: 100}); err != nil {
		t.Errorf("options that change: %v", err)
	}
	if err := r.SetOptions("u/2/1", echo.Options{}); err == nil {
		t.Error("one more round has options")
	}
	for i, want := range map[int]int{0: 0, 1: 100, 2: 2, MaxRounds - 1: MaxRounds - 1} {
		if got := r.Options(fmt.Appendf(nil, "u/1/%d", i)); got.Bytes != want {
			t.Errorf("round %d has %d bytes, want %d", i, got.Bytes, want)
		}
	}
}
