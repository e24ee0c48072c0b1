package infer_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

func BenchmarkAZoneThatIsCutOff(b *testing.B) {
	in := seen(cluster(2000, true), func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		far := func(node string) bool { return node != "" && int(node[len(node)-1]-'0')%2 == 0 }
		if o.To != "" && far(o.From) != far(o.To) && overlay(o) {
			return n, ladder.NoAnswer
		}
		if len(o.Backends) > 0 {
			return n / 2, ladder.NoAnswer
		}
		return 0, ""
	})
	for b.Loop() {
		if len(infer.Find(in)) == 0 {
			b.Fatal("nothing is found")
		}
	}
}
