package churn

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// window is a time, both moments included. Moments are counted from the excuser's zero.
type window struct{ from, to time.Duration }

// absence is a time in which a backend was away because of a change.
type absence struct {
	window
	change report.Change
	// last is until when requests may fail because of it.
	last time.Duration
	// longest is how long the backend was away at most, somewhere within the window, where nobody knows exactly when; 0
	// where it was away all the time.
	longest time.Duration
}

// lasted is how long the backend was away at most between two moments.
func (a absence) lasted(first, last time.Duration) time.Duration {
	within := overlap([]window{a.window}, first, last)
	if a.longest > 0 {
		return min(within, a.longest)
	}
	return within
}

// merged returns the windows sorted, with those that touch made one.
func merged(windows []window) []window {
	slices.SortFunc(windows,
		func(a, b window) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var all []window
	for _, w := range windows {
		if n := len(all); n > 0 && w.from <= all[n-1].to {
			all[n-1].to = max(all[n-1].to, w.to)
			continue
		}
		all = append(all, w)
	}
	return all
}

// overlap is how much of the windows, which are apart, lies between two moments.
func overlap(windows []window, first, last time.Duration) time.Duration {
	var total time.Duration
	for _, w := range windows {
		total += max(0, min(w.to, last)-max(w.from, first))
	}
	return total
}

// byTime orders changes by their time, and by all else where that is the same.
func byTime(a, b report.Change) int {
	return cmp.Or(a.WindowStart.Compare(b.WindowStart), a.WindowEnd.Compare(b.WindowEnd), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Detail, b.Detail))
}

// alone returns when nobody needs to answer at the pod's own addresses: from a deletion on, and until an agent that
// restarted listens again.
func (e *excuser) alone(pod string) []absence {
	var all []absence
	for _, c := range e.changes[pod] {
		a := absence{window: window{from: c.WindowStart.Add(-slack).Sub(e.zero), to: forever}, change: c}
		if c.Kind == report.Restarted && !open(c) {
			a.to = over(c).Add(listen).Sub(e.zero)
		}
		all = append(all, a)
	}
	return all
}

// drained returns when nothing needs to answer at the addresses of the node: from the moment on at which it left.
func (e *excuser) drained(node string) []absence {
	var all []absence
	for _, c := range e.drains[node] {
		all = append(all, absence{window: window{from: c.WindowStart.Add(-slack).Sub(e.zero), to: forever}, change: c})
	}
	return all
}

// during excuses what failed in the absences of all that may answer, and reports whether anything did. A span that
// began before is a fault as a whole.
func (e *excuser) during(absences []absence, streams []stream) bool {
	var windows []window
	for _, a := range absences {
		windows = append(windows, a.window)
	}
	windows = merged(windows)
	found := false
	for i := range streams {
		s := &streams[i]
		for _, w := range windows {
			for j, at := range s.spans {
				s.spans[j].excused = at.excused || s.within(at, w)
			}
			s.excuse(e.zero, w, absences, func(_, _ time.Duration) int { return 1 }, 1)
		}
		found = found || len(s.path.Excuses) > 0
	}
	return found
}

// absences returns when a backend that stands behind an address beside others was away, by the change. after is for
// how long what leads to backends may lead to one that was deleted. A backend that is down for long is left out in
// the meantime.
func (e *excuser) absences(c report.Change, after time.Duration) []absence {
	begin, end := c.WindowStart.Add(-slack).Sub(e.zero), over(c).Sub(e.zero)
	down := absence{window: window{from: begin, to: begin + slack + grace}, last: begin + slack + grace, change: c}
	up := absence{window: window{from: end - slack, to: end + settle}, last: end + grace, change: c}
	switch {
	case c.Kind != report.Restarted && c.NodeLeft:
		return []absence{{window: window{from: begin, to: end + after}, last: end + grace, change: c}}
	case c.Kind != report.Restarted:
		// The pod went at one moment between the two, so it is not away all the time in which it may have gone.
		return []absence{{window: window{from: begin, to: end + after}, last: end + grace, change: c, longest: slack +
			after}}
	case open(c):
		return []absence{down}
	case up.from > down.to:
		return []absence{down, up}
	}
	up.from = begin
	return []absence{up}
}

// lasting is when a backend could not answer although nothing else was left to lead to: until it is back, or without
// end on a node that was drained. alone reports that the backend is the only one; a deleted one of several is
// replaced before the next, or counts as away with it.
func (e *excuser) lasting(c report.Change, after time.Duration, alone bool) window {
	w := window{from: c.WindowStart.Add(-slack).Sub(e.zero), to: over(c).Sub(e.zero)}
	switch {
	case open(c) || c.Kind == report.Drained:
		w.to = forever
	case c.Kind == report.Restarted:
	case alone:
		w.to += grace
	default:
		w.to += after
	}
	return w
}

// nobody returns the absences while none of the pods was left.
func (e *excuser) nobody(pods []string, after time.Duration) []absence {
	lasting := map[string][]window{}
	none := []window{{from: -forever, to: forever}}
	for _, pod := range pods {
		for _, c := range e.changes[pod] {
			lasting[pod] = append(lasting[pod], e.lasting(c, after, len(pods) == 1))
		}
		none = common(none, merged(slices.Clone(lasting[pod])))
	}
	var all []absence
	for _, pod := range pods {
		for i, c := range e.changes[pod] {
			for _, w := range common(none, []window{lasting[pod][i]}) {
				all = append(all, absence{window: w, last: w.to, change: c})
			}
		}
	}
	return all
}

// common returns what windows of both lists have in common. The windows of each list are apart.
func common(a, b []window) []window {
	var all []window
	for _, x := range a {
		for _, y := range b {
			if w := (window{from: max(x.from, y.from), to: min(x.to, y.to)}); w.from <= w.to {
				all = append(all, w)
			}
		}
	}
	return all
}
