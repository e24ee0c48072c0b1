package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

func TestMeanOfAPhase(t *testing.T) {
	for name, c := range map[string]struct {
		phase report.Phase
		want  time.Duration
	}{
		"a phase that no attempt had has the mean 0": {report.Phase{}, 0},
		"of one attempt it is the attempt's time":    {report.Phase{Count: 1, Sum: 7 * time.Second}, 7 * time.Second},
		"of four it is a quarter of the sum": {report.Phase{Count: 4, Sum: 10 * time.Second},
			2500 * time.Millisecond},
	} {
		if got := c.phase.Mean(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestFailedIsWhatWasSentAndDidNotSucceed(t *testing.T) {
	if got := (report.Path{Scheduled: 12, Sent: 10, Missed: 2, OK: 7}).Failed(); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
}

func TestGateway(t *testing.T) {
	failures := func(all ...report.Failure) []report.Failure { return all }
	bad := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: n}
	}
	timeouts := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: 5}
	for name, c := range map[string]struct {
		path report.Path
		want bool
	}{
		"no unexpected status":            {report.Path{Statuses: map[int]uint64{200: 9}}, true},
		"only attempts without an answer": {report.Path{Failures: failures(timeouts)}, true},
		"502 alone": {report.Path{Failures: failures(bad(3)), Statuses: map[int]uint64{502: 3}},
			true},
		"503 alone": {report.Path{Failures: failures(bad(3)), Statuses: map[int]uint64{503: 3}},
			true},
		"504 alone": {report.Path{Failures: failures(bad(3)),
			Statuses: map[int]uint64{504: 3}}, true},
		"502, 503 and 504 beside timeouts": {report.Path{Failures: failures(bad(6), timeouts),
			Statuses: map[int]uint64{502: 1, 503: 2, 504: 3}}, true},
		"a status that the application may have sent": {report.Path{Failures: failures(bad(3)),
			Statuses: map[int]uint64{500: 3}}, false},
		"501 is no gateway's": {report.Path{Failures: failures(bad(3)),
			Statuses: map[int]uint64{501: 3}}, false},
		"505 is no gateway's": {report.Path{Failures: failures(bad(3)),
			Statuses: map[int]uint64{505: 3}}, false},
		"one of four is another status": {report.Path{Failures: failures(bad(4)),
			Statuses: map[int]uint64{503: 3, 404: 1}}, false},
		"503 is the expected status, 502 is not": {report.Path{OK: 9, Failures: failures(bad(1)),
			Statuses: map[int]uint64{503: 9, 502: 1}}, true},
		"503 is the expected status, 504 too often": {report.Path{OK: 1, Failures: failures(bad(9)),
			Statuses: map[int]uint64{503: 1, 504: 9}}, true},
		"503 is the expected status, 200 is not": {report.Path{OK: 9, Failures: failures(bad(1)),
			Statuses: map[int]uint64{503: 9, 200: 1}}, false},
		"503 is the expected status, beside 502 another one is not": {report.Path{OK: 9, Failures: failures(bad(2)),
			Statuses: map[int]uint64{503: 9, 502: 1, 404: 1}}, false},
		"503 is the expected status, beside 502 another one is not three times": {report.Path{OK: 4,
			Failures: failures(bad(4)), Statuses: map[int]uint64{503: 4, 502: 1, 404: 3}}, false},
		"502 is the expected status and the only one": {report.Path{OK: 9, Statuses: map[int]uint64{502: 9}}, true},
		"504 is the expected status and times out in the body": {report.Path{OK: 8,
			Failures: failures(bad(1), report.Failure{Outcome: probe.Timeout,
				Phase: probe.Body, Count: 1}), Statuses: map[int]uint64{504: 9, 503: 1}}, true},
		"two phases of bad statuses are added": {report.Path{Failures: failures(bad(1),
			report.Failure{Outcome: probe.BadStatus, Phase: probe.Body, Count: 2}), Statuses: map[int]uint64{503: 3}},
			true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.path.Gateway(); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestWithoutExcused(t *testing.T) {
	failure := func(o probe.Outcome, p probe.Phase, count, void uint64) report.Failure {
		return report.Failure{Outcome: o, Phase: p, Count: count, Excused: void}
	}
	path := func(scheduled, sent, ok uint64, failures ...report.Failure) report.Path {
		return report.Path{Scheduled: scheduled, Sent: sent, Missed: scheduled - sent, OK: ok, Failures: failures}
	}
	closed := func(n uint64, p report.Path) report.Path { p.Closed = n; return p }
	cases := []struct {
		name       string
		path, want report.Path
		void       uint64
	}{
		{"without void attempts nothing changes", path(10, 9, 7, failure(probe.Timeout, probe.Connect, 2, 0)),
			path(10, 9, 7, failure(probe.Timeout, probe.Connect, 2, 0)), 0},
		{"a single void attempt was never due", path(10, 9, 7, failure(probe.Timeout, probe.Connect, 2, 1)),
			path(9, 8, 7, failure(probe.Timeout, probe.Connect, 1, 0)), 1},
		{"a kind of failure that is all void goes, the others stay",
			path(10, 10, 4, failure(probe.Timeout, probe.Connect, 3, 3), failure(probe.Refused, probe.Connect, 3, 2)),
			path(5, 5, 4, failure(probe.Refused, probe.Connect, 1, 0)), 5},
		{"all failures are void: none is left", path(10, 10, 8, failure(probe.Refused, probe.Connect, 2, 2)),
			path(8, 8, 8), 2},
		{"connections that were reset before the answer are taken from the closed ones",
			closed(3, path(10, 10, 6, failure(probe.Reset, probe.FirstByte, 4, 2))),
			closed(1, path(8, 8, 6, failure(probe.Reset, probe.FirstByte, 2, 0))), 2},
		{"and those that ended before the answer",
			closed(3, path(10, 10, 6, failure(probe.BadAnswer, probe.FirstByte, 4, 1))),
			closed(2, path(9, 9, 6, failure(probe.BadAnswer, probe.FirstByte, 3, 0))), 1},
		{"more void resets than closed ones: none is left of these",
			closed(1, path(10, 10, 6, failure(probe.Reset, probe.FirstByte, 4, 2))),
			closed(0, path(8, 8, 6, failure(probe.Reset, probe.FirstByte, 2, 0))), 2},
		{"a timeout before the answer closed nothing",
			closed(3, path(10, 10, 6, failure(probe.Timeout, probe.FirstByte, 4, 2))),
			closed(3, path(8, 8, 6, failure(probe.Timeout, probe.FirstByte, 2, 0))), 2},
		{"a reset while connecting closed nothing",
			closed(3, path(10, 10, 6, failure(probe.Reset, probe.Connect, 4, 2))),
			closed(3, path(8, 8, 6, failure(probe.Reset, probe.Connect, 2, 0))), 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.path.Excused(); got != c.void {
				t.Errorf("%d attempts are void, want %d", got, c.void)
			}
			// The stream over a connection that stays open loses its own void attempts, whatever the counted requests
			// lose.
			for name, beside := range map[string]report.Path{"nothing void beside it": path(4, 4, 4),
				"void ones beside it": c.path} {
				with, want := c.path, c.want
				with.Persistent = &beside
				without := path(4, 4, 4)
				if beside.Scheduled == c.path.Scheduled {
					without = c.want
				}
				want.Persistent = &without
				if diff := cmp.Diff(want, with.WithoutExcused(), cmp.AllowUnexported(stats.Histogram{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(c.want, c.path.WithoutExcused(), cmp.AllowUnexported(stats.Histogram{})); diff != "" {
				t.Errorf("alone (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExpectedOf(t *testing.T) {
	r := report.Round{Expected: []report.Expected{{Pod: "a", Requests: 10}, {Pod: "b", Requests: 20}}}
	if e, ok := r.ExpectedOf("b"); !ok || e.Requests != 20 {
		t.Errorf("of b %+v, %t is known; want its 20 requests", e, ok)
	}
	if e, ok := r.ExpectedOf("c"); ok || e.Requests != 0 {
		t.Errorf("of c, which nobody expected, %+v, %t is known", e, ok)
	}
}
