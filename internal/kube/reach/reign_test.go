package reach_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/kube/reach"
)

func TestALeaderIsLostAfterItsTime(t *testing.T) {
	const yes, no, unclear = reach.Reached, reach.Unreached, reach.Unclear
	type note struct {
		at     int
		answer reach.Answer
	}
	for _, test := range []struct {
		name  string
		notes []note
		at    int
		lost  int
		given bool
	}{
		{name: "nothing is known at the beginning"},
		{name: "a new leader is given 30 s", notes: []note{{3, no}, {27, no}}, at: 29, lost: 29},
		{name: "a new leader that nobody reaches is lost after 30 s", notes: []note{{3, no}, {30, no}}, at: 30,
			lost: 30, given: true},
		{name: "a leader that is reached is not lost", notes: []note{{3, no}, {40, yes}}, at: 41, lost: 1},
		{name: "one that was reached is given 9 s", notes: []note{{40, yes}, {43, no}, {46, no}}, at: 48, lost: 8},
		{name: "one that was reached is lost after 9 s", notes: []note{{40, yes}, {43, no}, {46, no}}, at: 49, lost: 9,
			given: true},
		{name: "an answer within 9 s clears it", notes: []note{{40, yes}, {43, no}, {46, yes}, {49, no}}, at: 52,
			lost: 6},
		{name: "an answer after 9 s clears it too", notes: []note{{40, yes}, {43, no}, {70, yes}}, at: 71, lost: 1},
		{name: "an API that is not registered says nothing", notes: []note{{3, unclear}, {300, unclear}}, at: 303,
			lost: 3},
		{name: "an unclear answer is no proof: the grace is 30 s", notes: []note{{3, unclear}, {6, no}}, at: 20,
			lost: 17},
		{name: "a clock that is set back makes no negative time", notes: []note{{40, yes}}, at: 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Unix(1_800_000_000, 0)
			at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
			r := reach.NewReign(began)
			for _, n := range test.notes {
				r.Note(n.answer, at(n.at))
			}
			lost, given := r.Lost(at(test.at))
			if lost != time.Duration(test.lost)*time.Second || given != test.given {
				t.Errorf("lost for %v, too long: %t; want %d s, %t", lost, given, test.lost, test.given)
			}
		})
	}
}

func TestNobodyGivesUpSoonAfterTheLast(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	reign := reach.NewReign(began)
	if got := reign.Pause(); got != time.Hour {
		t.Errorf("who was never reached pauses for %v, want an hour", got)
	}
	reign.Note(reach.Reached, began)
	if got := reign.Pause(); got != 5*time.Minute {
		t.Errorf("who was reached pauses for %v, want five minutes", got)
	}
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		name string
		last time.Time
		want bool
	}{
		{"nobody ever gave up", time.Time{}, true},
		{"a second ago", now.Add(-time.Second), false},
		{"almost five minutes ago", now.Add(-5*time.Minute + time.Second), false},
		{"five minutes ago", now.Add(-5 * time.Minute), true},
		{"a minute ago by a clock that is fast", now.Add(time.Minute), false},
		{"by a clock that is wrong", now.Add(time.Hour), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := reach.Over(5*time.Minute, test.last, now); got != test.want {
				t.Errorf("over: %t, want %t", got, test.want)
			}
		})
	}
}
