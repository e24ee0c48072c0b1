package infer

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// Possible is a probe that may be sent on suspicion.
type Possible struct {
	// Of is what the probe is an observation of. Its counts do not matter.
	Of *ladder.Observation
	// Seen is the index, in the input, of what the same probe saw already; -1 if it was not sent yet.
	Seen int
	// Agent is a number that stands for the agent that sends the probe.
	Agent int
}

// Bounds limit what is asked for.
type Bounds struct {
	// Agents is how many agents are asked at most, Probes for how many probes each, Times how often each probe is sent.
	Agents, Probes, Times int
}

const (
	// newcomer is what a probe is worth if its agent is asked for nothing yet: agents are scarcer than probes.
	newcomer = 0.5
	// leastWorth is the least gain for which a probe is sent.
	leastWorth = 0.01
)

// Ask chooses, of the possible probes, those that tell most about what the faults are that Find found in the input, and
// returns their indexes, the most telling first. Without failures it chooses none.
//
// What is open is a list of doubts: whether this component is the cause or that one, whether a fault lasts, whether a
// failure that no fault explains happens again, whether a pod that answered nobody, or a DNS server that nobody asked,
// is broken. The chance to take one
// answer for the other is at most the square root of both probabilities' product, times the Bhattacharyya coefficient
// of what the probes see under both answers (Kailath, "The Divergence and Bhattacharyya Distance Measures in Signal
// Selection", IEEE Transactions on Communication Technology, 1967). The coefficients of independent probes multiply.
// Each choice is the probe that lowers the sum of the chances most, so that what is nearly clear leaves its place to
// what is not. What failed and is not chosen is asked again as far as there is room, in turn for each fault.
func Ask(in Input, faults []Fault, possible []Possible, most Bounds) []int {
	if !slices.ContainsFunc(in.Observations, func(o ladder.Observation) bool { return o.Failed() > 0 }) {
		return nil
	}
	a := newChoosing(in, faults, possible, most)
	for {
		best := a.best()
		if best < 0 {
			break
		}
		a.take(best)
	}
	a.again()
	return a.taken
}

// failed reports whether the probe was sent and failed.
func (p Possible) failed(in Input) bool { return p.Seen >= 0 && in.Observations[p.Seen].Failed() > 0 }

// choosing is a choice of probes under way.
type choosing struct {
	in       Input
	faults   []Fault
	possible []Possible
	most     Bounds
	doubts   []doubt
	// effects has, by probe, what it does to doubts, worth how much it lowers the sum of the chances.
	effects [][]effect
	worth   []float64
	// asked is for how many probes each agent is asked.
	asked map[int]int
	taken []int
	took  []bool
}

func newChoosing(in Input, faults []Fault, possible []Possible, most Bounds) *choosing {
	a := &choosing{in: in, faults: faults, possible: possible, most: most, asked: map[int]int{},
		effects: make([][]effect, len(possible)), worth: make([]float64, len(possible)),
		took: make([]bool, len(possible))}
	a.whichComponent()
	a.whetherLasting()
	a.whichPod()
	a.whichServer()
	for d := range a.doubts {
		for _, e := range a.doubts[d].by {
			a.effects[e.of] = append(a.effects[e.of], effect{d, e.coefficient})
			a.worth[e.of] += a.doubts[d].chance * (1 - e.coefficient)
		}
	}
	return a
}

// room reports whether the bounds leave room for a probe.
func (a *choosing) room(probe int) bool {
	n := a.asked[a.possible[probe].Agent]
	return !a.took[probe] && n < a.most.Probes && (n > 0 || len(a.asked) < a.most.Agents)
}

// best returns the probe that is worth most; -1 if none is worth it.
func (a *choosing) best() int {
	best, top := -1, leastWorth
	for i, worth := range a.worth {
		if worth <= top || !a.room(i) {
			continue
		}
		if a.asked[a.possible[i].Agent] == 0 {
			worth *= newcomer
		}
		if worth > top {
			best, top = i, worth
		}
	}
	return best
}

// take chooses a probe and lowers the chances that it is expected to lower.
func (a *choosing) take(probe int) {
	a.choose(probe)
	for _, e := range a.effects[probe] {
		d := &a.doubts[e.of]
		lower := d.chance * (1 - e.coefficient)
		d.chance -= lower
		for _, other := range d.by {
			a.worth[other.of] -= lower * (1 - other.coefficient)
		}
	}
}

func (a *choosing) choose(probe int) {
	a.taken = append(a.taken, probe)
	a.took[probe] = true
	a.asked[a.possible[probe].Agent]++
}

// again fills what room is left with probes that failed: those of each fault in turn, and then those of none.
func (a *choosing) again() {
	of := make(map[int]int, len(a.possible))
	for i, p := range a.possible {
		if p.failed(a.in) {
			of[p.Seen] = i
		}
	}
	left := make([][]int, len(a.faults))
	for f := range a.faults {
		left[f] = a.faults[f].observations
	}
	for {
		asked := false
		for f := range left {
			for len(left[f]) > 0 {
				probe, ok := of[left[f][0]]
				left[f] = left[f][1:]
				if ok && a.room(probe) {
					a.choose(probe)
					asked = true
					break
				}
			}
		}
		if !asked {
			break
		}
	}
	for i, p := range a.possible {
		if p.failed(a.in) && a.room(i) {
			a.choose(i)
		}
	}
}

// coefficient returns the Bhattacharyya coefficient of what a probe sees that is sent a number of times, if it fails
// with the one or the other probability. It has a lower bound, so that no probe decides alone: what happens at one
// moment to one path need not be what happens to others.
func coefficient(one, other float64, times int) float64 {
	const least, sure = 0.25, 0.98
	one, other = min(one, sure), min(other, sure)
	c := math.Sqrt(one*other) + math.Sqrt((1-one)*(1-other))
	return max(least, math.Pow(c, float64(times)))
}
