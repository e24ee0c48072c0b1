package fleet

import (
	"math/rand/v2"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/digest"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
)

// BenchmarkPaths says what costOfPath ought to be.
func BenchmarkPaths(b *testing.B) {
	plan := planned().Plans[0]
	plan.Detail = mesh.Detail{Rows: 4, Groups: make([]uint32, len(plan.Targets)), SuccessRate: 1,
		MeanDelay: time.Minute, Pods: 16}
	for i := range plan.Detail.Groups {
		plan.Detail.Groups[i] = uint32(i % (2 * Zones)) // #nosec G115 -- below six
	}
	m := measured{fault: Healthy, nodes: nodes, load: plan.Load, pool: newPool(nodes),
		random: rand.New(rand.NewPCG(1, 1)), began: time.Now(), arrived: func(int, uint64, uint64) {}}
	all := func() []report.Path { return m.paths(plan.Targets) }
	each := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(plan.Targets)), "ns/path")
	}
	b.Run("computed", func(b *testing.B) {
		for b.Loop() {
			all()
		}
		each(b)
	})
	b.Run("added up", func(b *testing.B) {
		paths := all()
		for b.Loop() {
			digest.Of(plan, paths)
		}
		each(b)
	})
}
