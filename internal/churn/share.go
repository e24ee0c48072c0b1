package churn

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// deviations is how many standard deviations more than a share may fail.
const deviations = 3

// share is what part of the requests may fail at each moment, because backends are away.
type share struct {
	// pods are those that requests may be led to.
	pods map[string]bool
	// pinned reports that all requests may be led to any one of the pods.
	pinned bool
	// steps are sorted.
	steps []step
	// absences are those of the pods, away is when any of the pods was away, sorted and apart.
	absences []absence
	away     []window
}

// step is the time until the next step.
type step struct {
	from time.Duration
	// away is how many pods are away.
	away int
	// failing and spread are the integrals, until the step begins, of the share and of the variance of one request.
	failing, spread float64
}

// newShare returns the share of the pods that were away at the given times.
func newShare(pods map[string]bool, absences []absence, pinned bool) share {
	s := share{pods: pods, pinned: pinned, absences: absences}
	absent := map[string][]window{}
	for _, a := range absences {
		absent[a.change.Pod] = append(absent[a.change.Pod], a.window)
		s.away = append(s.away, a.window)
	}
	s.away = merged(s.away)
	turns := map[time.Duration]int{}
	for _, windows := range absent {
		for _, w := range merged(windows) {
			turns[w.from]++
			turns[w.to+1]--
		}
	}
	at := make([]time.Duration, 0, len(turns))
	for t := range turns {
		at = append(at, t)
	}
	slices.Sort(at)
	var now step
	for _, t := range at {
		p, took := s.part(now.away), float64(t-now.from)
		now = step{from: t, away: now.away + turns[t], failing: now.failing + p*took, spread: now.spread + p*(1-p)*took}
		s.steps = append(s.steps, now)
	}
	return s
}

// part is what part of the requests may fail while so many of the pods are away.
func (s share) part(away int) float64 {
	if s.pinned {
		return float64(min(away, 1))
	}
	return float64(away) / float64(len(s.pods))
}

// sum is what holds between two moments.
type sum struct {
	// away is how many pods were away at most.
	away int
	// failing and spread are the integrals of the share and of the variance of one request, in nanoseconds.
	failing, spread float64
}

// over sums up what holds between two moments, both included.
func (s share) over(first, last time.Duration) sum {
	var total sum
	for i := max(s.index(first), 0); i < len(s.steps) && s.steps[i].from <= last; i++ {
		total.away = max(total.away, s.steps[i].away)
	}
	begin, end := s.until(first), s.until(last)
	total.failing, total.spread = end.failing-begin.failing, end.spread-begin.spread
	if most := s.most(first, last); total.failing > most {
		total.failing, total.spread = most, total.spread*most/total.failing
	}
	return total
}

// most is the largest integral of the share between two moments that the absences allow: however long it is in doubt
// when a pod was deleted, it was away no longer than what leads to pods takes to follow.
func (s share) most(first, last time.Duration) float64 {
	var most float64
	for _, a := range s.absences {
		most += s.part(1) * float64(a.lasted(first, last)+1)
	}
	return most
}

// index returns the step that the moment lies in, -1 before the first.
func (s share) index(t time.Duration) int {
	i, found := slices.BinarySearchFunc(s.steps, t,
		func(at step, t time.Duration) int { return cmp.Compare(at.from, t) })
	if found {
		return i
	}
	return i - 1
}

// until returns the integrals until the moment.
func (s share) until(t time.Duration) sum {
	i := s.index(t)
	if i < 0 {
		return sum{}
	}
	at := s.steps[i]
	p, took := s.part(at.away), float64(t-at.from)
	return sum{failing: at.failing + p*took, spread: at.spread + p*(1-p)*took}
}

// explains reports whether the share explains the stream's failures, if the agent started so much later than at the
// earliest: between the beginning of no span and the end of another, more of them lie than the share's deviations
// allow. A Service that fails altogether while one of its five pods is replaced is broken.
func (s share) explains(all stream, away []window, shift time.Duration) bool {
	most := all.rate() * float64(overlap(away, all.start, all.end+all.unsure))
	byEnd := slices.Clone(all.spans)
	slices.SortFunc(byEnd, func(a, b span) int { return cmp.Compare(a.last, b.last) })
	for _, from := range all.spans {
		var failed uint64
		for _, to := range byEnd {
			// A span that began earlier belongs to another part: from its end back to this beginning there is no time
			// at all.
			if to.first < from.first {
				continue
			}
			failed += to.count
			asked := max(all.asked(away, from.first+shift, to.last+shift), float64(failed))
			if !s.allows(all, from.first, to.last, shift, failed, most/asked) {
				return false
			}
		}
	}
	return true
}

// allows reports whether so many failures between two moments lie within the deviations of the share. Where that is
// only a part of the time in which anybody was away, one of so many, it was chosen for its failures, and may deviate
// more: what chance does in one of many such parts is no wonder.
func (s share) allows(all stream, first, last, shift time.Duration, failures uint64, parts float64) bool {
	n, failed := all.due(first, last), float64(failures)
	over := s.over(first+shift-all.since, last+shift)
	p := s.part(over.away)
	failing, spread := all.rate()*over.failing+p, all.rate()*over.spread+p*(1-p)
	if failed > n {
		failing, spread = failing*failed/n, spread*failed/n
	}
	limit := math.Sqrt(deviations*deviations + 4*math.Log(max(parts/2, 1)))
	return failed <= failing+limit*math.Sqrt(spread)+1
}
