package baseline

import "kdoctor.io/kdoctor/internal/infer"

// Cover is a greedy set cover with a hit ratio, as SCORE and deTector's PLL have it: of the components of whose paths a
// large enough share is lossy, the one is named that explains the most lossy paths that nothing explains yet.
type Cover struct {
	// Ratio is the least share of a component's paths that are lossy, Loss the share of a path's probes that it may
	// lose without being lossy, each 0 to 1. Least is the least number of paths worth a name.
	Ratio, Loss, Least float64
}

// Name is "set cover".
func (Cover) Name() string { return "set cover" }

// Find names faults.
func (c Cover) Find(in infer.Input) []infer.Fault {
	m := newMatrix(in)
	lossy := make([]bool, len(m.sent))
	for r := range m.sent {
		lossy[r] = m.failed[r] > c.Loss*m.sent[r]
	}
	open, ratio := make([]float64, len(m.places)), make([]float64, len(m.places))
	for column, rows := range m.rows {
		for _, r := range rows {
			if lossy[r] {
				open[column]++
			}
		}
		ratio[column] = open[column] / float64(len(rows))
	}
	var faults []infer.Fault
	for len(faults) < mostNamed {
		best := -1
		for column := range open {
			if ratio[column] < c.Ratio || open[column] < c.Least {
				continue
			}
			if best < 0 || open[column] > open[best] || open[column] == open[best] && ratio[column] > ratio[best] {
				best = column
			}
		}
		if best < 0 {
			break
		}
		faults = append(faults, m.fault(int32(best))) // #nosec G115 -- an index
		for _, r := range m.rows[best] {
			if !lossy[r] {
				continue
			}
			lossy[r] = false
			for _, other := range m.of(int(r)) {
				open[other]--
			}
		}
	}
	return faults
}
