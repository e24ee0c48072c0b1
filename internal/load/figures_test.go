package load_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

func TestWhatAnAccountSaysOfItsAttempts(t *testing.T) {
	const ms = time.Millisecond
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := begin.Add
	phases := func(connect, body time.Duration) (all [probe.Phases]time.Duration) {
		all[probe.Connect], all[probe.Body] = connect, body
		return all
	}
	cases := []struct {
		name    string
		samples []probe.Sample
		missed  uint64
		want    report.Path
		// latencies, responses and lags are those that are counted.
		latencies, responses, lags []time.Duration
	}{
		{name: "no attempt", want: report.Path{}},
		{name: "missed ones alone", missed: 3, want: report.Path{Scheduled: 3, Missed: 3}},
		{
			name: "a success: what a user would have waited is its latency and what the agent added",
			samples: []probe.Sample{{Due: at(0), Start: at(5 * ms), Own: 2 * ms, Latency: 30 * ms, Status: 200,
				Peer: "b", Bytes: 7, Kernel: true,
				Phases: phases(ms, 0)}},
			missed: 1,
			want: report.Path{Scheduled: 2, Sent: 1, Missed: 1, OK: 1, Bytes: 7, Kernel: 1,
				Statuses: map[int]uint64{200: 1}, Peers: map[string]uint64{"b": 1},
				Phases: [probe.Phases]report.Phase{probe.Connect: {Count: 1, Sum: ms, Max: ms}}},
			latencies: []time.Duration{30 * ms}, responses: []time.Duration{37 * ms}, lags: []time.Duration{7 * ms},
		},
		{
			name: "phases add up, and the longest one stays",
			samples: []probe.Sample{
				{Due: at(0), Start: at(0), Latency: 3 * ms, Phases: phases(ms, 1)},
				{Due: at(0), Start: at(0), Latency: 3 * ms, Phases: phases(2*ms, 0)},
				{Due: at(0), Start: at(0), Latency: 3 * ms, Phases: phases(ms, 0)}},
			want: report.Path{Scheduled: 3, Sent: 3, OK: 3,
				Phases: [probe.Phases]report.Phase{probe.Connect: {Count: 3, Sum: 4 * ms, Max: 2 * ms},
					probe.Body: {Count: 1, Sum: 1, Max: 1}}},
			latencies: []time.Duration{3 * ms, 3 * ms, 3 * ms}, responses: []time.Duration{3 * ms, 3 * ms, 3 * ms},
			lags: []time.Duration{0, 0, 0},
		},
		{
			name: "segments that were sent again, in successes and failures",
			samples: []probe.Sample{{Due: at(0), Start: at(0), Retransmits: 1}, {Due: at(0), Start: at(0)},
				{Due: at(0), Start: at(0), Outcome: probe.Timeout, Phase: probe.Connect, Retransmits: 3}},
			want: report.Path{Scheduled: 3, Sent: 3, OK: 2, Retransmits: 4, Retransmitted: 2,
				Failures: []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 1,
					Spans: []report.Span{{Count: 1}}}}},
			latencies: []time.Duration{0, 0}, responses: []time.Duration{0, 0}, lags: []time.Duration{0, 0, 0},
		},
		{
			name: "connections that were used again, and closed by the other side",
			samples: []probe.Sample{
				{Due: at(0), Start: at(0), Reused: true},
				{Due: at(0), Start: at(0), Reused: true, Closed: true},
				{Due: at(0), Start: at(0), Reused: true, Closed: true, Outcome: probe.Reset, Phase: probe.FirstByte},
				{Due: at(0), Start: at(0), Reused: true, Outcome: probe.Timeout, Phase: probe.FirstByte},
				{Due: at(0), Start: at(0), Closed: true, Outcome: probe.Reset, Phase: probe.FirstByte}},
			want: report.Path{Scheduled: 5, Sent: 5, OK: 2, Reused: 4, Closed: 1,
				Failures: []report.Failure{{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 1,
					Spans: []report.Span{{Count: 1}}},
					{Outcome: probe.Reset, Phase: probe.FirstByte, Count: 2, Spans: []report.Span{{Count: 2}}}}},
			latencies: []time.Duration{0, 0}, responses: []time.Duration{0, 0}, lags: []time.Duration{0, 0, 0, 0, 0},
		},
		{
			name: "failures have no latency, but are counted by kind, in time, and with three different messages",
			samples: []probe.Sample{
				{Due: at(0), Start: at(-ms), Latency: ms, Outcome: probe.Refused, Phase: probe.Connect, Kernel: true,
					Phases: phases(ms, 0), Message: "a"},
				{Due: at(ms), Start: at(ms), Latency: ms, Outcome: probe.Refused, Phase: probe.Connect, Message: "a"},
				{Due: at(2 * ms), Start: at(2 * ms), Outcome: probe.Refused, Phase: probe.Connect},
				{Due: at(2 * ms), Start: at(2 * ms), Outcome: probe.Refused, Phase: probe.Connect, Message: "b"},
				{Due: at(2 * ms), Start: at(2 * ms), Outcome: probe.Refused, Phase: probe.Connect, Message: "c"},
				{Due: at(2 * ms), Start: at(2 * ms), Outcome: probe.Refused, Phase: probe.Connect, Message: "d"},
				{Due: at(0), Start: at(0), Outcome: probe.BadStatus, Phase: probe.FirstByte, Status: 503, Peer: "c"},
				{Due: at(0), Start: at(0), Outcome: probe.BadStatus, Phase: probe.Body, Status: 500}},
			want: report.Path{Scheduled: 8, Sent: 8, Statuses: map[int]uint64{500: 1, 503: 1},
				Peers: map[string]uint64{"c": 1}, Failures: []report.Failure{
					{Outcome: probe.Refused, Phase: probe.Connect, Count: 6, Examples: []string{"a", "b", "c"},
						Spans: []report.Span{{Count: 1}, {First: ms, Last: ms, Count: 1},
							{First: 2 * ms, Last: 2 * ms, Count: 4}}},
					{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: 1, Spans: []report.Span{{Count: 1}}},
					{Outcome: probe.BadStatus, Phase: probe.Body, Count: 1, Spans: []report.Span{{Count: 1}}}}},
			lags: []time.Duration{-ms, 0, 0, 0, 0, 0, 0, 0},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := load.NewAccount(target.Target{ID: "x"})
			a.Begin(begin)
			for _, s := range c.samples {
				a.Record(&s)
			}
			a.Miss(c.missed)
			a.End(begin, at(time.Second))
			want := c.want
			want.Target, want.Started, want.Ended = target.Target{ID: "x"}, begin, at(time.Second)
			for _, h := range []struct {
				to   *stats.Histogram
				from []time.Duration
			}{{&want.Latency, c.latencies}, {&want.Response, c.responses}, {&want.Lag, c.lags}} {
				for _, d := range h.from {
					h.to.Record(d)
				}
			}
			if diff := cmp.Diff(want, a.Report(), cmp.AllowUnexported(stats.Histogram{})); diff != "" {
				t.Errorf("path (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAccountThatWasNotBegunTellsNoTimes(t *testing.T) {
	a := load.NewAccount(target.Target{})
	a.Record(&probe.Sample{Start: time.Now(), Due: time.Now(), Outcome: probe.Timeout})
	if f := a.Report().Failures; len(f) != 1 || f[0].Count != 1 || f[0].Spans != nil {
		t.Errorf("failures are %+v, want one without a time", f)
	}
}

func TestAnAccountCountsNoMorePodsThanAPathMayHave(t *testing.T) {
	a := load.NewAccount(target.Target{})
	for i := range 5000 {
		a.Record(&probe.Sample{Peer: strconv.Itoa(i), Status: 100 + i%900})
	}
	if p := a.Report(); len(p.Peers) != 4096 || len(p.Statuses) != 900 || p.OK != 5000 {
		t.Errorf("%d pods and %d statuses of %d answers, want 4096, 900 and 5000", len(p.Peers), len(p.Statuses), p.OK)
	}
}

func TestAReportDoesNotChangeLater(t *testing.T) {
	a := load.NewAccount(target.Target{})
	a.Begin(time.Now())
	failed := probe.Sample{Start: time.Now(), Due: time.Now(), Outcome: probe.Timeout, Message: "a"}
	a.Record(&failed)
	before := a.Report()
	failed.Message = "b"
	a.Record(&failed)
	if f := before.Failures[0]; f.Count != 1 || len(f.Examples) != 1 || f.Spans[0].Count != 1 {
		t.Errorf("the failure is %+v now", f)
	}
}

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name               string
		load               mesh.Load
		interval, lateness time.Duration
	}{
		{"10 a second: an attempt may be 250 ms late", mesh.Load{PerSecond: 10}, 100 * ms, 250 * ms},
		{"4 a second: the bound and the interval are the same", mesh.Load{PerSecond: 4, Every: 1}, 250 * ms, 250 * ms},
		{"2 a second: an attempt may be one interval late", mesh.Load{PerSecond: 2}, 500 * ms, 500 * ms},
		{"one every 3 s", mesh.Load{PerSecond: 1, Every: 3}, 3 * time.Second, 3 * time.Second},
		{"no rate at all is one a second", mesh.Load{}, time.Second, time.Second},
	} {
		if p := load.PaceOf(c.load); p.Interval() != c.interval || p.Lateness() != c.lateness {
			t.Errorf("%s: interval %v, lateness %v", c.name, p.Interval(), p.Lateness())
		}
	}
	for every, want := range map[time.Duration]time.Duration{100 * ms: 250 * ms, 250 * ms: 250 * ms,
		300 * ms: 300 * ms} {
		if got := (load.PersistentPace{Every: every}).Lateness(); got != want {
			t.Errorf("a persistent stream every %v may be %v late, want %v", every, got, want)
		}
	}
}

// Agents of different releases, and both engines, must ask a target at the same moments: the phases never change.
func TestPhasesAreTheseForEver(t *testing.T) {
	p, kept := load.Pace{PerSecond: 1}, load.PersistentPace{Every: time.Second}
	for id, want := range map[string][2]time.Duration{
		"AgentPodV4IP_b": {303264207, 854969798},
		"":               {539242981, 32711730},
	} {
		if got := [2]time.Duration{p.Phase("a", id), kept.Phase("a", id)}; got != want {
			t.Errorf("phases of a and %q are %d, want %d", id, got, want)
		}
		if got := (load.PersistentPace{}).Phase("a", id); got != 0 {
			t.Errorf("without an interval the phase is %v, want none", got)
		}
	}
}

func TestNoMoreThan8192AttemptsAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load.New(load.Config{Prober: &network{delay: time.Minute}, Targets: targets(1),
			Load: mesh.Load{PerSecond: 1000, Duration: 9 * time.Second}})
		l.Run(t.Context())
		if p := l.Paths()[0]; p.Sent != 8192 || p.Missed != 9000-8192 {
			t.Errorf("%d were sent and %d missed, want 8192 and the rest of 9000", p.Sent, p.Missed)
		}
	})
}
