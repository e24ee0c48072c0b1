package fleet

import (
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/wire"
)

func BenchmarkPaths(b *testing.B) {
	plan := planned().Plans[0]
	m := measured{fault: Healthy, nodes: nodes, load: plan.Load, pool: newPool(nodes),
		random: rand.New(rand.NewPCG(1, 1)), began: time.Now(), arrived: func(int, uint64, uint64) {}}
	all := func() (r report.AgentReport) {
		for _, t := range plan.Targets {
			r.Paths = append(r.Paths, m.path(t))
		}
		return r
	}
	b.Run("computed", func(b *testing.B) {
		for b.Loop() {
			all()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(plan.Targets)), "ns/path")
	})
	b.Run("encoded", func(b *testing.B) {
		r := all()
		for b.Loop() {
			_, _ = proto.Marshal(wire.Report(r))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(plan.Targets)), "ns/path")
	})
}
