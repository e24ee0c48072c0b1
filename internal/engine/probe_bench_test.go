//go:build linux

package engine

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// BenchmarkProbe makes attempts one after the other, each over a connection of its own; the allocations of the server
// are in the count of both.
func BenchmarkProbe(b *testing.B) {
	config := differentialConfig()
	b.Run("engine", func(b *testing.B) {
		_, url := newAgent(b)
		targets := targetsAt(url, 1)
		e := New(Config{Round: config.Round, Source: config.Source, Installation: config.Installation, Targets: targets,
			Load: mesh.Load{PerSecond: 1, Timeout: config.Timeout}})
		p, err := epoll.Open(epoll.Config{Precise: true})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		s := newShard(e, &e.parts[0], p, time.Now())
		s.record = func(_ *targetStream, sample *probe.Sample) {
			if sample.Outcome != probe.OK {
				b.Error(sample.Message)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			s.begin(e.paths[0].counted, s.now(), s.now())
			s.run(b.Context())
		}
	})
	b.Run("httpprobe", func(b *testing.B) {
		_, url := newAgent(b)
		prober, to := httpprobe.New(config), targetsAt(url, 1)[0]
		b.ReportAllocs()
		for b.Loop() {
			if sample := prober.Probe(b.Context(), to); sample.Outcome != probe.OK {
				b.Error(sample.Message)
			}
		}
	})
}
