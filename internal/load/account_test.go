package load_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

func TestBytesAreThoseOfSuccessfulAnswers(t *testing.T) {
	a := load.NewAccount(target.Target{})
	for _, s := range []probe.Sample{
		{Outcome: probe.OK, Bytes: 100},
		{Outcome: probe.BadAnswer, Phase: probe.Body, Bytes: 1_000_000},
		{Outcome: probe.Timeout, Phase: probe.Body, Bytes: 5000},
		{Outcome: probe.OK, Bytes: 20},
		{Outcome: probe.OK, Bytes: -1},
	} {
		a.Record(&s)
	}
	if p := a.Report(); p.Bytes != 120 || p.OK != 3 || p.Sent != 5 {
		t.Errorf("%d of %d succeeded with %d bytes, want 3 of 5 with 120", p.OK, p.Sent, p.Bytes)
	}
}

func TestLostConnectionsAreNoMoreThanAttempts(t *testing.T) {
	for _, c := range []struct {
		name           string
		lost           []probe.Lost
		resets, closes uint64
	}{
		{"none lost", []probe.Lost{{}, {}}, 0, 0},
		{"each attempt finds another", []probe.Lost{{}, {Resets: 1}, {Closes: 1}, {Resets: 1}}, 2, 1},
		{"one attempt finds several", []probe.Lost{{}, {}, {}, {Resets: 1, Closes: 2}}, 1, 2},
		{"an attempt that finds those of others before they are recorded", []probe.Lost{{Resets: 2, Closes: 3}}, 1, 0},
		{"and when some of them are", []probe.Lost{{Resets: 2, Closes: 3}, {}, {}, {}}, 2, 2},
		{"and when all of them are", []probe.Lost{{Resets: 2, Closes: 3}, {}, {}, {}, {}, {}}, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := load.NewAccount(target.Target{})
			for i, lost := range c.lost {
				s := probe.Sample{Lost: lost}
				if i%2 == 0 {
					s.Outcome, s.Phase = probe.Timeout, probe.Body
				}
				a.Record(&s)
			}
			if p := a.Report(); p.IdleResets != c.resets || p.IdleCloses != c.closes {
				t.Errorf("%d resets and %d closes, want %d and %d", p.IdleResets, p.IdleCloses, c.resets, c.closes)
			}
		})
	}
}
