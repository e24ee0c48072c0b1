package load_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

func TestFailuresTellWhenTheirAttemptsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{delay: 3 * time.Second, result: func(_ string, i int) probe.Sample {
			s := probe.Sample{Status: 200, Peer: "b"}
			if i == 2 || i >= 20 {
				s.Outcome, s.Phase = probe.Timeout, probe.Connect
			}
			return s
		}}
		l := load.New(load.Config{Prober: n, Targets: targets(1),
			Load: mesh.Load{PerSecond: 1, Duration: 40 * time.Second}})
		l.Run(t.Context())
		phase := load.Pace{PerSecond: 1}.Phase("", targets(1)[0].ID)
		var got []report.Span
		for _, s := range l.Paths()[0].Failures[0].Spans {
			got = append(got, report.Span{First: s.First - phase, Last: s.Last - phase, Count: s.Count})
		}
		// With eight spans at most, what is far apart stays apart.
		if len(got) != report.MaxSpans ||
			got[0] != (report.Span{First: 2 * time.Second, Last: 2 * time.Second, Count: 1}) {
			t.Fatalf("spans %+v", got)
		}
		all := report.Span{First: got[1].First, Last: got[len(got)-1].Last}
		for _, s := range got[1:] {
			all.Count += s.Count
		}
		if diff := cmp.Diff(report.Span{First: 20 * time.Second, Last: 39 * time.Second, Count: 20}, all); diff != "" {
			t.Errorf("the outage (-want +got):\n%s", diff)
		}
	})
}
