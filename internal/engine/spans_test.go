//go:build linux

package engine

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

func TestFailuresTellWhenTheirAttemptsStarted(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		m := start(targetsAt(blackHole(t), 2), mesh.Load{PerSecond: 20, Duration: time.Second,
			Timeout: 300 * time.Millisecond}, 0)
		m.Run(t.Context())
		for _, p := range m.Paths() {
			spans, count := p.Failures[0].Spans, uint64(0)
			for _, s := range spans {
				count += s.Count
			}
			// Attempts start within their interval of the load's second, and their time ends later than that.
			first, last := spans[0].First, spans[len(spans)-1].Last
			if count != p.Sent || first < 0 || first > 500*time.Millisecond || last < 500*time.Millisecond ||
				last > p.Ended.Sub(p.Started)-300*time.Millisecond {
				t.Errorf("%d of %d attempts failed, from %v to %v: %v", count, p.Sent, first, last, spans)
			}
		}
	})
}
