package churn

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// window is a period, both moments included. Moments are counted from the excuser's zero.
type window struct{ from, to time.Duration }

// absence is a period in which a backend was away because of a change.
type absence struct {
	window
	change report.Change
	// failingUntil is until when requests may fail because of the absence.
	failingUntil time.Duration
	// maxLength is how long, at most, the backend was away somewhere within the window, if the exact time is unknown; 0
	// if the backend was away for the whole window.
	maxLength time.Duration
}

// lengthWithin is how long, at most, the backend was away between two moments.
func (a absence) lengthWithin(first, last time.Duration) time.Duration {
	within := overlap([]window{a.window}, first, last)
	if a.maxLength > 0 {
		return min(within, a.maxLength)
	}
	return within
}

// union returns the windows sorted, with windows that touch joined.
func union(windows []window) []window {
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

// overlap is how much of the windows lies between two moments. The windows must not touch each other.
func overlap(windows []window, first, last time.Duration) time.Duration {
	var total time.Duration
	for _, w := range windows {
		total += max(0, min(w.to, last)-max(w.from, first))
	}
	return total
}

// byTime orders changes by their time, and changes of the same time by all other fields.
func byTime(a, b report.Change) int {
	return cmp.Or(a.WindowStart.Compare(b.WindowStart), a.WindowEnd.Compare(b.WindowEnd), cmp.Compare(a.Node, b.Node),
		cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Detail, b.Detail))
}

// podAbsences returns when nobody needs to answer at the pod's own addresses: from a deletion on, or until a restarted
// agent listens again.
func (e *excuser) podAbsences(pod string) []absence {
	var all []absence
	for _, c := range e.changes[pod] {
		a := absence{window: window{from: c.WindowStart.Add(-maxInFlight).Sub(e.zero), to: forever}, change: c}
		if c.Kind == report.Restarted && !notBack(c) {
			a.to = windowEnd(c).Add(silentAfterRestart).Sub(e.zero)
		}
		all = append(all, a)
	}
	return all
}

// nodeAbsences returns when nothing needs to answer at the addresses of the node: from the moment at which the node
// left.
func (e *excuser) nodeAbsences(node string) []absence {
	var all []absence
	for _, c := range e.nodeChanges[node] {
		all = append(all, absence{window: window{from: c.WindowStart.Add(-maxInFlight).Sub(e.zero), to: forever},
			change: c})
	}
	return all
}

// excuseDuring excuses what failed in the absences of all pods that may answer, and reports whether anything was
// excused. A span that began before an absence is no part of it: the whole span stays a fault.
func (e *excuser) excuseDuring(absences []absence, streams []stream) bool {
	var windows []window
	for _, a := range absences {
		windows = append(windows, a.window)
	}
	windows = union(windows)
	found := false
	for i := range streams {
		s := &streams[i]
		for _, w := range windows {
			for j, at := range s.spans {
				s.spans[j].excused = at.excused || s.liesWithin(at, w)
			}
			s.addExcuse(e.zero, w, absences, func(_, _ time.Duration) int { return 1 }, 1)
		}
		found = found || len(s.path.Excuses) > 0
	}
	return found
}

// backendAbsences returns when one backend of several was away because of the change. after is how long a deleted
// backend may still get requests. A backend that is down for long is taken out of service in the meantime, so that it
// is away at the beginning and at the end.
func (e *excuser) backendAbsences(c report.Change, after time.Duration) []absence {
	begin, end := c.WindowStart.Add(-maxInFlight).Sub(e.zero), windowEnd(c).Sub(e.zero)
	down := absence{window: window{from: begin, to: begin + maxInFlight + tolerance}, failingUntil: begin +
		maxInFlight + tolerance, change: c}
	up := absence{window: window{from: end - maxInFlight, to: end + awayAfterRestart}, failingUntil: end + tolerance,
		change: c}
	switch {
	case c.Kind != report.Restarted && c.NodeLeft:
		return []absence{{window: window{from: begin, to: end + after}, failingUntil: end + tolerance, change: c}}
	case c.Kind != report.Restarted:
		// The pod went at one moment between the two, so it was not away for the whole window.
		return []absence{{window: window{from: begin, to: end + after}, failingUntil: end + tolerance, change: c,
			maxLength: maxInFlight +
				after}}
	case notBack(c):
		return []absence{down}
	case up.from > down.to:
		return []absence{down, up}
	}
	up.from = begin
	return []absence{up}
}

// unreplaced is when a backend could not answer and had no replacement: until the backend is back, or without end on a
// drained node. alone reports that the backend is the only one. A deleted backend of several is replaced before the
// next one is deleted, or counts as away together with it.
func (e *excuser) unreplaced(c report.Change, after time.Duration, alone bool) window {
	w := window{from: c.WindowStart.Add(-maxInFlight).Sub(e.zero), to: windowEnd(c).Sub(e.zero)}
	switch {
	case notBack(c) || c.Kind == report.Drained:
		w.to = forever
	case c.Kind == report.Restarted:
	case alone:
		w.to += tolerance
	default:
		w.to += after
	}
	return w
}

// allAway returns the absences during which none of the pods was left.
func (e *excuser) allAway(pods []string, after time.Duration) []absence {
	lasting := map[string][]window{}
	none := []window{{from: -forever, to: forever}}
	for _, pod := range pods {
		for _, c := range e.changes[pod] {
			lasting[pod] = append(lasting[pod], e.unreplaced(c, after, len(pods) == 1))
		}
		none = intersection(none, union(slices.Clone(lasting[pod])))
	}
	var all []absence
	for _, pod := range pods {
		for i, c := range e.changes[pod] {
			for _, w := range intersection(none, []window{lasting[pod][i]}) {
				all = append(all, absence{window: w, failingUntil: w.to, change: c})
			}
		}
	}
	return all
}

// intersection returns the periods that are in windows of both lists. The windows of one list must not touch each
// other.
func intersection(a, b []window) []window {
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
