package report_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
)

func TestAddFailure(t *testing.T) {
	spans := func(triples ...[3]int) []report.Span {
		var all []report.Span
		for _, s := range triples {
			all = append(all, report.Span{First: time.Duration(s[0]), Last: time.Duration(s[1]), Count: uint64(s[2])})
		}
		return all
	}
	full := spans([3]int{0, 0, 1}, [3]int{100, 110, 2}, [3]int{200, 200, 1}, [3]int{220, 220, 1}, [3]int{300, 300, 1},
		[3]int{400, 400, 1}, [3]int{500, 500, 1}, [3]int{600, 600, 1})
	with := func(change func([]report.Span) []report.Span) []report.Span {
		return change(append([]report.Span(nil), full...))
	}
	cases := []struct {
		name  string
		spans []report.Span
		at    time.Duration
		want  []report.Span
	}{
		{"the first failure is a span of its own", nil, 5, spans([3]int{5, 5, 1})},
		{"a later one is another", spans([3]int{5, 5, 1}), 7, spans([3]int{5, 5, 1}, [3]int{7, 7, 1})},
		{"an earlier one comes before", spans([3]int{5, 5, 1}), 3, spans([3]int{3, 3, 1}, [3]int{5, 5, 1})},
		{"one at the same time counts there", spans([3]int{5, 5, 1}), 5, spans([3]int{5, 5, 2})},
		{"one within a span counts there", full, 105,
			with(func(s []report.Span) []report.Span { s[1].Count++; return s })},
		{"when all are taken, the closest span is made longer at its end", full, 111,
			with(func(s []report.Span) []report.Span { s[1].Last, s[1].Count = 111, 3; return s })},
		{"or at its beginning", full, 297,
			with(func(s []report.Span) []report.Span { s[4].First, s[4].Count = 297, 2; return s })},
		{"or the last one goes on", full, 601,
			with(func(s []report.Span) []report.Span { s[7].Last, s[7].Count = 601, 2; return s })},
		{"when all are farther away than two are from each other, these become one, before it", full, 550,
			spans([3]int{0, 0, 1}, [3]int{100, 110, 2}, [3]int{200, 220, 2}, [3]int{300, 300, 1}, [3]int{400, 400, 1},
				[3]int{500, 500, 1}, [3]int{550, 550, 1}, [3]int{600, 600, 1})},
		{"or after it", full, 50,
			spans([3]int{0, 0, 1}, [3]int{50, 50, 1}, [3]int{100, 110, 2}, [3]int{200, 220, 2}, [3]int{300, 300, 1},
				[3]int{400, 400, 1}, [3]int{500, 500, 1}, [3]int{600, 600, 1})},
		{"what comes between those two joins one of them", full, 212,
			with(func(s []report.Span) []report.Span { s[3].First, s[3].Count = 212, 2; return s })},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := report.AddFailure(append([]report.Span(nil), c.spans...), c.at)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpansHoldEveryFailureInWhateverOrderTheyCome(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var spans []report.Span
		var all []time.Duration
		for range 300 {
			at := time.Duration(random.IntN(1000))
			all = append(all, at)
			spans = report.AddFailure(spans, at)
		}
		var count uint64
		before := time.Duration(-1)
		for _, s := range spans {
			if s.First <= before || s.Last < s.First || s.Count == 0 {
				t.Fatalf("seed %d: %v are not in order", seed, spans)
			}
			var within uint64
			for _, at := range all {
				if at >= s.First && at <= s.Last {
					within++
				}
			}
			if within != s.Count {
				t.Fatalf("seed %d: %d failures are within %v", seed, within, s)
			}
			count, before = count+s.Count, s.Last
		}
		if count != 300 || len(spans) > report.MaxSpans {
			t.Fatalf("seed %d: %d failures in %d spans", seed, count, len(spans))
		}
	}
}
