//go:build linux

package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// dues is when all attempts of the stream are due, by target.
func dues(t *testing.T, s *pacer) map[string][]time.Duration {
	t.Helper()
	all, last := map[string][]time.Duration{}, time.Duration(0)
	for due := s.nextDue(); due != never; due = s.nextDue() {
		if due < last {
			t.Fatalf("%v comes behind %v", due, last)
		}
		last = due
		l := s.advance()
		all[l.target.ID] = append(all[l.target.ID], due)
	}
	return all
}

func TestEveryAttemptIsDueAtItsOwnPhase(t *testing.T) {
	for _, c := range []struct {
		name   string
		load   mesh.Load
		shards int
	}{
		{"one a second", mesh.Load{PerSecond: 1, Duration: 30 * time.Second}, 1},
		{"seven a second on three threads", mesh.Load{PerSecond: 7, Duration: 10 * time.Second}, 3},
		{"one every three seconds", mesh.Load{PerSecond: 1, Every: 3, Duration: 10 * time.Second,
			Connection: mesh.Both}, 2},
		{"with a persistent stream", mesh.Load{PerSecond: 13, Duration: 10 * time.Second, Connection: mesh.Both}, 2},
		{"with a persistent stream that is slower than a tenth would be",
			mesh.Load{PerSecond: 1, Duration: 2 * time.Second, Connection: mesh.Both}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			targets := targetsAt("http://198.18.0.1", 50)
			e := New(Config{Source: "a", Targets: targets, Load: c.load, Shards: c.shards})
			counted, kept := map[string][]time.Duration{}, map[string][]time.Duration{}
			for i := range e.parts {
				for id, at := range dues(t, &e.parts[i].counted) {
					counted[id] = at
				}
				for id, at := range dues(t, &e.parts[i].persistent) {
					kept[id] = at
				}
			}
			pace, keptPace := load.PaceOf(c.load), load.PersistentPaceOf(c.load)
			for _, to := range targets {
				var want, wantKept []time.Duration
				for i := range c.load.Requests() {
					want = append(want, pace.Offset(i)+pace.Phase("a", to.ID))
				}
				for i := range keptPace.Requests {
					wantKept = append(wantKept, keptPace.Offset(i)+keptPace.Phase("a", to.ID))
				}
				if diff := cmp.Diff(want, counted[to.ID]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", to.ID, diff)
				}
				if diff := cmp.Diff(wantKept, kept[to.ID]); diff != "" {
					t.Errorf("%s, kept (-want +got):\n%s", to.ID, diff)
				}
			}
		})
	}
}

func TestAttemptsComeInNoBursts(t *testing.T) {
	e := New(Config{Source: "a", Targets: targetsAt("http://198.18.0.1", 1000),
		Load: mesh.Load{PerSecond: 1, Duration: time.Second}, Shards: 1})
	tenths := make([]int, 10)
	for _, at := range dues(t, &e.parts[0].counted) {
		tenths[at[0]/(time.Second/10)]++
	}
	if slices.Min(tenths) < 60 || slices.Max(tenths) > 140 {
		t.Errorf("of 1000 attempts in a second, the tenths have %v", tenths)
	}
}

func TestWhatAStreamGivesUpIsMissed(t *testing.T) {
	e := New(Config{Source: "a", Targets: targetsAt("http://198.18.0.1", 3),
		Load: mesh.Load{PerSecond: 2, Duration: 2 * time.Second}, Shards: 1})
	s := &e.parts[0].counted
	for range 4 {
		s.advance()
	}
	s.missRest()
	missed := uint64(0)
	for _, p := range e.Paths() {
		missed += p.Missed
	}
	if missed != 8 || s.nextDue() != never {
		t.Errorf("%d missed, then due at %v", missed, s.nextDue())
	}
}

func TestLoadDecidesHowThreadsWake(t *testing.T) {
	tcp := target.Target{ID: "t", Address: "tcp://198.18.0.1:80", Protocol: target.TCP}
	for _, c := range []struct {
		name string
		to   Config
		want bool
	}{
		{"few new connections", Config{Targets: targetsAt("http://198.18.0.1", 10), Load: mesh.Load{PerSecond: 10}},
			false},
		{"many, but seldom", Config{Targets: targetsAt("http://198.18.0.1", 1000),
			Load: mesh.Load{PerSecond: 1, Every: 2}, Shards: 1}, false},
		{"many new connections", Config{Targets: targetsAt("http://198.18.0.1", 10), Load: mesh.Load{PerSecond: 70}},
			true},
		{"as many over persistent ones", Config{Targets: targetsAt("http://198.18.0.1", 10),
			Load: mesh.Load{PerSecond: 70, Connection: mesh.KeepAlive}}, false},
		{"as many on two threads", Config{Targets: targetsAt("http://198.18.0.1", 10), Load: mesh.Load{PerSecond: 70},
			Shards: 2}, false},
		{"many connections alone", Config{Targets: []target.Target{tcp}, Load: mesh.Load{PerSecond: 1001}}, true},
		{"many, but precise", Config{Targets: []target.Target{tcp}, Load: mesh.Load{PerSecond: 1001},
			Wake: WakePrecise}, false},
		{"few, but on a grid", Config{Targets: []target.Target{tcp}, Load: mesh.Load{PerSecond: 1}, Wake: WakeGrid},
			true},
		{"many without stamps", Config{Targets: []target.Target{tcp}, Load: mesh.Load{PerSecond: 1001}, Plain: true},
			false},
		{"as many as possible", Config{Targets: []target.Target{tcp}, Load: mesh.Load{PerSecond: 1001}, Saturate: 1},
			false},
	} {
		if c.to.Shards == 0 {
			c.to.Shards = 1
		}
		if got := New(c.to).Grid(); got != c.want {
			t.Errorf("%s: a grid is %v, want %v", c.name, got, c.want)
		}
	}
}
