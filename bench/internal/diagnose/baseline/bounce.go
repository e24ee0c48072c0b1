package baseline

import (
	"cmp"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
)

// Bounce is least squares after NetBouncer (Tan et al., NSDI 2019): every component has a probability x of success, the
// product over a path ought to be the path's share of successes, and a regulariser x(1-x) pulls each x to 0 or 1. The
// sum of squares, weighted by the number of probes, is brought down one component at a time.
type Bounce struct {
	// Weight is that of the regulariser, above 0; Loss is the least 1-x worth a name, 0 to 1.
	Weight, Loss float64
}

// sweeps is how often all components are visited at most, still is how little change ends it.
const (
	sweeps = 30
	still  = 1e-4
	least  = 1e-6
)

// Name is "NetBouncer".
func (Bounce) Name() string { return "NetBouncer" }

// Find names faults, the worst first.
func (b Bounce) Find(in infer.Input) []infer.Fault {
	m := newMatrix(in)
	x, suspects := b.start(m)
	for range sweeps {
		change := 0.0
		for _, c := range suspects {
			was := x[c]
			x[c] = b.best(m, x, c)
			change = math.Max(change, math.Abs(x[c]-was))
		}
		if change < still {
			break
		}
	}
	slices.SortStableFunc(suspects, func(a, c int32) int { return cmp.Compare(x[a], x[c]) })
	var faults []infer.Fault
	for _, c := range suspects {
		if 1-x[c] < b.Loss || len(faults) == mostNamed {
			break
		}
		f := m.fault(c)
		f.Severity = 1 - x[c]
		faults = append(faults, f)
	}
	return faults
}

// start returns 1 for each component, and the components that any failure crossed, those first that lost the largest
// share and of these those with the most paths: what is visited first takes the blame that several could take. The
// others never leave 1.
func (b Bounce) start(m *matrix) (x []float64, suspects []int32) {
	x = make([]float64, len(m.places))
	loss := make([]float64, len(m.places))
	for c, rows := range m.rows {
		sent, failed := 0.0, 0.0
		for _, r := range rows {
			sent, failed = sent+m.sent[r], failed+m.failed[r]
		}
		x[c], loss[c] = 1, failed/sent
		if failed > 0 {
			suspects = append(suspects, int32(c)) // #nosec G115 -- an index
		}
	}
	slices.SortStableFunc(suspects, func(a, c int32) int {
		return cmp.Or(cmp.Compare(loss[c], loss[a]), cmp.Compare(len(m.rows[c]), len(m.rows[a])))
	})
	return x, suspects
}

// best is the x of one component that makes the sum least while the others stay.
func (b Bounce) best(m *matrix, x []float64, c int32) float64 {
	square, product := 0.0, 0.0
	for _, r := range m.rows[c] {
		others := 1.0
		for _, other := range m.of(int(r)) {
			if other != c {
				others *= x[other]
			}
		}
		weight, success := m.sent[r], 1-m.failed[r]/m.sent[r]
		square += weight * others * others
		product += weight * success * others
	}
	// The sum is square x^2 - 2 product x + weight x (1-x), less what does not depend on x.
	if square-b.Weight > least {
		return math.Min(1, math.Max(0, (product-b.Weight/2)/(square-b.Weight)))
	}
	if square-2*product <= 0 {
		return 1
	}
	return 0
}
