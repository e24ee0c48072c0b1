package churn

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// deviations is how many standard deviations above the share the failures may lie.
const deviations = 3

// share is the fraction of requests that may fail at each moment, because backends are away.
type share struct {
	// pods are the pods that requests may be led to.
	pods map[string]bool
	// sticky reports that all requests may be led to one of the pods, whichever it is.
	sticky bool
	// steps are sorted.
	steps []step
	// absences are the absences of the pods. away is when any of the pods was away; its windows are sorted and do not
	// touch.
	absences []absence
	away     []window
}

// step is the period until the next step.
type step struct {
	from time.Duration
	// away is how many pods are away.
	away int
	// failing is the integral of the fraction up to the beginning of the step, spread is the integral of the variance
	// of one request.
	failing, spread float64
}

// newShare returns the share of the pods with these absences.
func newShare(pods map[string]bool, absences []absence, sticky bool) share {
	s := share{pods: pods, sticky: sticky, absences: absences}
	absent := map[string][]window{}
	for _, a := range absences {
		absent[a.change.Pod] = append(absent[a.change.Pod], a.window)
		s.away = append(s.away, a.window)
	}
	s.away = union(s.away)
	turns := map[time.Duration]int{}
	for _, windows := range absent {
		for _, w := range union(windows) {
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
		p, took := s.fraction(now.away), float64(t-now.from)
		now = step{from: t, away: now.away + turns[t], failing: now.failing + p*took, spread: now.spread + p*(1-p)*took}
		s.steps = append(s.steps, now)
	}
	return s
}

// fraction is which fraction of requests may fail while away of the pods are away, 0 to 1.
func (s share) fraction(away int) float64 {
	if s.sticky {
		return float64(min(away, 1))
	}
	return float64(away) / float64(len(s.pods))
}

// totals sums up a share between two moments.
type totals struct {
	// away is the largest number of pods that were away at once.
	away int
	// failing and spread are the integrals of the fraction and of the variance of one request, in nanoseconds.
	failing, spread float64
}

// between sums up the share between two moments, both included.
func (s share) between(first, last time.Duration) totals {
	var total totals
	for i := max(s.stepAt(first), 0); i < len(s.steps) && s.steps[i].from <= last; i++ {
		total.away = max(total.away, s.steps[i].away)
	}
	begin, end := s.before(first), s.before(last)
	total.failing, total.spread = end.failing-begin.failing, end.spread-begin.spread
	if most := s.maxFailing(first, last); total.failing > most {
		total.failing, total.spread = most, total.spread*most/total.failing
	}
	return total
}

// maxFailing is the largest integral of the fraction between two moments that the absences allow. However uncertain the
// time of a deletion is, the pod was not away longer than its routes take to drop it.
func (s share) maxFailing(first, last time.Duration) float64 {
	var most float64
	for _, a := range s.absences {
		most += s.fraction(1) * float64(a.lengthWithin(first, last)+1)
	}
	return most
}

// stepAt returns the index of the step that the moment lies in, -1 before the first.
func (s share) stepAt(t time.Duration) int {
	i, found := slices.BinarySearchFunc(s.steps, t,
		func(at step, t time.Duration) int { return cmp.Compare(at.from, t) })
	if found {
		return i
	}
	return i - 1
}

// before returns the integrals from the beginning up to the moment.
func (s share) before(t time.Duration) totals {
	i := s.stepAt(t)
	if i < 0 {
		return totals{}
	}
	at := s.steps[i]
	p, took := s.fraction(at.away), float64(t-at.from)
	return totals{failing: at.failing + p*took, spread: at.spread + p*(1-p)*took}
}

// explains reports whether the share explains the stream's failures, if the agent started shift later than at the
// earliest. The share does so if the failures between the beginning of any span and the end of any other lie within the
// share's deviations. A Service that fails altogether while one of its five pods is replaced is broken.
func (s share) explains(all stream, away []window, shift time.Duration) bool {
	most := all.rate() * float64(overlap(away, all.start, all.end+all.startDoubt))
	byEnd := slices.Clone(all.spans)
	slices.SortFunc(byEnd, func(a, b span) int { return cmp.Compare(a.last, b.last) })
	for _, from := range all.spans {
		var failed uint64
		for _, to := range byEnd {
			// A span that began earlier belongs to another part: the time from this beginning back to its end is
			// negative.
			if to.first < from.first {
				continue
			}
			failed += to.count
			asked := max(all.dueDuring(away, from.first+shift, to.last+shift), float64(failed))
			if !s.allows(all, from.first, to.last, shift, failed, most/asked) {
				return false
			}
		}
	}
	return true
}

// allows reports whether the failures between two moments lie within the deviations of the share. parts is how many
// such periods fit into the time in which any pod was away. A period that is one of many was picked for its failures,
// so it may deviate more: chance alone makes one of many periods stand out.
func (s share) allows(all stream, first, last, shift time.Duration, failures uint64, parts float64) bool {
	n, failed := all.due(first, last), float64(failures)
	over := s.between(first+shift-all.interval, last+shift)
	p := s.fraction(over.away)
	failing, spread := all.rate()*over.failing+p, all.rate()*over.spread+p*(1-p)
	if failed > n {
		failing, spread = failing*failed/n, spread*failed/n
	}
	limit := math.Sqrt(deviations*deviations + 4*math.Log(max(parts/2, 1)))
	return failed <= failing+limit*math.Sqrt(spread)+1
}
