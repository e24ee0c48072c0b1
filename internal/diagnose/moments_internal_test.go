package diagnose

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// Of a load of 8 s at ten requests a second, requests fail that start between two moments.
func TestMomentsOfFailures(t *testing.T) {
	began := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	path := func(begin time.Time, fails func(n int) bool) *report.Path {
		p := &report.Path{Scheduled: 80, Sent: 80, Started: begin, Ended: begin.Add(9 * time.Second)}
		failure := report.Failure{}
		for n := range 80 {
			if fails(n) {
				failure.Spans = report.AddFailure(failure.Spans, time.Duration(n)*time.Second/10)
				failure.Count++
			}
		}
		p.OK = 80 - failure.Count
		if failure.Count > 0 {
			p.Failures = []report.Failure{failure}
		}
		return p
	}
	between := func(from, to int) func(int) bool { return func(n int) bool { return n >= from && n < to } }
	for _, c := range []struct {
		name        string
		fails       func(n int) bool
		paths       int
		want        string
		interrupted bool
	}{
		{"all", between(0, 80), 4, "", false},
		{"none but a few at any time", func(n int) bool { return n%20 == 7 }, 4, "", false},
		{"a moment in the middle", between(51, 70), 4,
			"requests failed only from 10:00:05.1 UTC to 10:00:06.9 UTC, within 1.8 s of 8.0 s of load", true},
		{"every third one in a part of the time", func(n int) bool { return n >= 30 && n < 60 && n%3 == 0 }, 4,
			"requests failed only from 10:00:03.0 UTC to 10:00:05.7 UTC, within 2.7 s of 8.0 s of load", false},
		{"from a moment on", between(40, 80), 4,
			"requests failed only from 10:00:04.0 UTC on, after 4.0 s of load without a failure", false},
		{"until a moment", between(0, 24), 4,
			"requests failed only until 10:00:02.3 UTC, and 5.7 s of load without a failure followed", false},
		{"a few near each other, which chance explains", func(n int) bool { return n == 35 || n == 50 }, 1, "",
			false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m moments
			for range c.paths {
				if !m.add(path(began, c.fails), time.Second/10) {
					t.Fatal("the moments are not known")
				}
			}
			if got := m.evidence(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := m.interrupted(); got != c.interrupted {
				t.Errorf("interrupted is %v", got)
			}
		})
	}
	var m moments
	untimed := path(began, between(40, 60))
	untimed.Failures[0].Spans = nil
	if m.add(untimed, time.Second/10) {
		t.Error("failures without a moment have one")
	}
	excused := path(began, between(40, 60))
	excused.Failures[0].Excused = 5
	if m.add(excused, time.Second/10) {
		t.Error("it is known which failures a change excuses")
	}
}

func TestIntervalOfRequests(t *testing.T) {
	for want, of := range map[time.Duration]report.RequestBudget{
		0: {}, 100 * time.Millisecond: {Granted: 10}, 4 * time.Second: {Granted: 1, Every: 4}} {
		if got := interval(of); got != want {
			t.Errorf("%+v: got %v, want %v", of, got, want)
		}
	}
}
