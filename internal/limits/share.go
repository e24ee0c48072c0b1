package limits

import (
	"math"
	"slices"
)

// Claim is the part of a cap that a round claims which has begun, in requests a second.
type Claim struct {
	// Demand is what the round asked for, Granted what it was granted: 0 as long as it waits.
	Demand, Granted int
	// Open reports that neither is known yet, because the round is still being planned: it is taken to ask for all.
	Open bool
}

// FairShare returns how much of the cap a round may use beside the claims of the others. The round asks for demand, and
// cannot be planned with less than lowest. All are in requests a second.
//
// The share is the round's part by max-min fairness: no round gets more than it asks for, and what one round does not
// ask for is shared equally by the rounds that want more. The share is what the others do not ask for, or lowest, where
// that is more. The share is never more than what the grants of the others leave, so that all rounds together stay
// within the cap, and it is below 0 where they leave nothing. A cap of 0 is no cap, and the share is 0 as well.
func FairShare(limit, demand, lowest int, others []Claim) int {
	if limit <= 0 {
		return 0
	}
	demands := []int{demand}
	left, unasked := limit, limit
	for _, o := range others {
		if o.Open {
			o = Claim{Demand: math.MaxInt}
		}
		demands = append(demands, o.Demand)
		left -= o.Granted
		unasked = max(unasked-o.Demand, 0)
	}
	slices.Sort(demands)
	if share := min(max(maxMin(limit, demand, demands), unasked, lowest), left); share > 0 {
		return share
	}
	return -1
}

// maxMin returns what a round that asks for demand gets of the limit by max-min fairness: the shares of all rounds rise
// together until each round has what it asks for. demands has the demand of every round, this one too, sorted.
func maxMin(limit, demand int, demands []int) int {
	for i, d := range demands {
		level := limit / (len(demands) - i)
		if d > level {
			return min(demand, level)
		}
		limit -= d
	}
	return demand
}
