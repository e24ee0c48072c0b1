package main

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/bench/internal/part"
)

func TestFlagsBecomeOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		rounds int
		length time.Duration
		parts  int
		bad    bool
	}{
		{"everything, thoroughly", nil, 15, 2 * time.Second, len(part.All(time.Second)), false},
		{"everything, quickly", []string{"-quick"}, 5, time.Second, len(part.All(time.Second)), false},
		{"quickly, but with more rounds", []string{"-quick", "-rounds=9"}, 9, time.Second, len(part.All(time.Second)),
			false},
		{"parts by the beginning of their names", []string{"-part=speed,starts"}, 15, 2 * time.Second, 3, false},
		{"no such part", []string{"-part=nothing"}, 0, 0, 0, true},
		{"no rounds", []string{"-rounds=-1"}, 0, 0, 0, true},
		{"fractions of seconds", []string{"-length=1500ms"}, 0, 0, 0, true},
		{"less than nothing", []string{"-foreign=-1"}, 0, 0, 0, true},
		{"words behind the flags", []string{"now"}, 0, 0, 0, true},
	} {
		o, err := parse(c.args)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !c.bad && (o.rounds != c.rounds || o.length != c.length || len(o.chosen()) != c.parts) {
			t.Errorf("%s: %+v with %d parts", c.name, o, len(o.chosen()))
		}
	}
}
