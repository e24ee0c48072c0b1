package baseline

import "kdoctor.io/kdoctor/internal/infer"

// mostNamed is how many faults a baseline names at most.
const mostNamed = 20

// Votes is the voting of 007 (Arzani et al., NSDI 2018): every failed probe gives each of the h components that it
// crossed 1/h of a vote. The component with the most votes is named and its failures leave the count, until no
// component has a share of all votes that is worth naming.
type Votes struct {
	// Share is the least share of all votes for a name, 0 to 1; Least the least number of failures.
	Share, Least float64
}

// Name is "007".
func (Votes) Name() string { return "007" }

// Find names faults.
func (v Votes) Find(in infer.Input) []infer.Fault {
	m := newMatrix(in)
	votes := make([]float64, len(m.places))
	total := 0.0
	gone := make([]bool, len(m.sent))
	count := func(r int, sign float64) {
		for _, c := range m.of(r) {
			votes[c] += sign * m.failed[r] / float64(len(m.of(r)))
		}
	}
	for r := range m.sent {
		count(r, 1)
		total += m.failed[r]
	}
	var faults []infer.Fault
	for len(faults) < mostNamed && total > 0 {
		best := most(votes)
		failures := 0.0
		for _, r := range m.rows[best] {
			if !gone[r] {
				failures += m.failed[r]
			}
		}
		if votes[best] < v.Share*total || failures < v.Least {
			break
		}
		faults = append(faults, m.fault(int32(best))) // #nosec G115 -- an index
		for _, r := range m.rows[best] {
			if !gone[r] {
				gone[r] = true
				count(int(r), -1)
			}
		}
		votes[best] = 0
	}
	return faults
}

// most returns the index of the largest value.
func most(values []float64) (best int) {
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}
