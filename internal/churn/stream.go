package churn

import (
	"cmp"
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// stream is one stream of requests of a path. All of its moments are counted from the excuser's zero, as if the agent
// had started at the earliest possible moment.
type stream struct {
	path report.Path
	// start and end are when the stream began and ended.
	start, end time.Duration
	// startDoubt is how much later the agent may have started.
	startDoubt time.Duration
	// plannedRate is how many requests were to come due in a nanosecond, 0 if unknown.
	plannedRate float64
	// interval is the time between two requests over one connection, 0 if each request has its own connection. A
	// request over an existing connection may fail for what happened since the request before.
	interval time.Duration
	// spans are the spans of failures that changes can cause, sorted by their first moments.
	spans []span
	// untimed reports that the report does not say when some of these failures happened.
	untimed bool
}

// span is one span of a failure.
type span struct {
	// failure is the index of the failure in the path's Failures.
	failure     int
	first, last time.Duration
	count       uint64
	// excused reports whether changes explain the span, reported whether an excuse includes it.
	excused, reported bool
}

// stream returns one stream of the agent's path: the counted one, or the one over persistent connections.
func (e *excuser) stream(a report.AgentReport, of, p report.Path, planned float64) stream {
	p.Target = of.Target
	moment := func(at time.Time) (earliest, latest time.Duration) {
		first, last := controllerTimes(a, at)
		return first.Sub(e.zero), last.Sub(e.zero)
	}
	p.Excuses = nil
	s := stream{path: p}
	var latest time.Duration
	s.start, latest = moment(p.Started)
	s.startDoubt = max(latest-s.start, 0)
	s.end, _ = moment(p.Ended)
	s.plannedRate = planned
	if rate := s.rate(); p.Reused > 0 && rate > 0 {
		s.interval = time.Duration(1 / rate)
	}
	for i, f := range p.Failures {
		if !causedByChange(f, p) {
			continue
		}
		timed := uint64(0)
		for _, at := range f.Spans {
			timed += at.Count
			s.spans = append(s.spans,
				span{failure: i, first: s.start + at.First, last: s.start + at.Last, count: at.Count})
		}
		s.untimed = s.untimed || timed < f.Count
	}
	slices.SortStableFunc(s.spans,
		func(a, b span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last)) })
	return s
}

// due returns how many requests came due between two moments of the stream, both included.
func (s stream) due(first, last time.Duration) float64 { return s.rate()*float64(last-first) + 1 }

// dueDuring is how many requests came due between two moments of the stream, both included, while any pod was away.
func (s stream) dueDuring(away []window, first, last time.Duration) float64 {
	return s.rate()*float64(overlap(away, first, last)) + 1
}

// rate is how many requests came due in a nanosecond. The planned rate is better than the measured one: a path ends
// with the last attempt of its agent, which may be long after the last request came due.
func (s stream) rate() float64 {
	if s.plannedRate > 0 {
		return s.plannedRate
	}
	if s.end <= s.start {
		return 0
	}
	return float64(s.path.Scheduled) / float64(s.end-s.start)
}

// liesWithin reports whether the span lies within the window. If the agent's start is known well, the span must do so
// for one possible start, else for all of them.
func (s stream) liesWithin(at span, w window) bool {
	if s.startDoubt > maxStartDoubt {
		return at.first >= w.from && at.last+s.startDoubt-s.interval <= w.to
	}
	shift := max(w.from-at.first, 0)
	return shift <= s.startDoubt && at.last+shift-s.interval <= w.to
}

// mayMeet reports whether a request that was sent at the moment may have met any of the windows. If the agent's start
// is known well, all possible starts count, else only the start that is shift later than the earliest.
func (s stream) mayMeet(windows []window, at, shift time.Duration) bool {
	earliest, latest := at+shift, at+shift
	if s.startDoubt <= maxStartDoubt {
		earliest, latest = at, at+s.startDoubt
	}
	return slices.ContainsFunc(windows, func(w window) bool { return w.from <= latest && w.to >= earliest-s.interval })
}

// mayTouch reports whether the span and the window may have a moment in common.
func (s stream) mayTouch(at span, w window) bool {
	return at.first-s.interval <= w.to && at.last >= w.from-s.startDoubt
}

// addExcuse adds an excuse for the excused spans within the window that no excuse includes yet. away returns the
// largest number of backends that were away between two moments, backends is how many may answer in all.
func (s *stream) addExcuse(zero time.Time, w window, absences []absence, away func(first, last time.Duration) int,
	backends int) {
	var found report.Excuse
	first, last := forever, -forever
	pending := func(at span) bool { return at.excused && !at.reported && s.liesWithin(at, w) }
	for _, at := range s.spans {
		if pending(at) {
			first, last = min(first, at.first), max(last, at.last)
			found.Explained += at.count
		}
	}
	if found.Explained == 0 {
		return
	}
	for _, a := range absences {
		during := func(at span) bool { return pending(at) && s.mayTouch(at, a.window) }
		if slices.ContainsFunc(s.spans, during) && !slices.Contains(found.Changes, a.change) {
			found.Changes = append(found.Changes, a.change)
		}
	}
	found.First, found.Last = zero.Add(first), zero.Add(last+s.startDoubt)
	found.Of = max(found.Explained, min(s.path.Scheduled, uint64(math.Round(s.due(first, last)))))
	found.Away, found.Backends = away(first, last+s.startDoubt), backends
	s.path.Excuses = append(s.path.Excuses, found)
	for i, at := range s.spans {
		s.spans[i].reported = at.reported || pending(at)
	}
}

// markedPath returns the stream's path with the excused failures counted.
func (s stream) markedPath() report.Path {
	p := s.path
	p.Failures = slices.Clone(p.Failures)
	for i := range p.Failures {
		p.Failures[i].Excused = 0
	}
	for _, at := range s.spans {
		if at.excused {
			p.Failures[at.failure].Excused += at.count
		}
	}
	return p
}

// causedByChange reports whether a pod that is no longer there can make requests fail in this way. At an address where
// only that pod may answer, an answer from another pod or a wrong status counts too: the address may belong to another
// pod by then.
func causedByChange(f report.Failure, p report.Path) bool {
	alone := p.Target.MayAnswer() == target.OnePod
	switch f.Outcome {
	case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
		return true
	case probe.WrongPeer:
		return alone
	case probe.BadStatus:
		return alone || (p.Target.Kind == target.Ingress && p.Gateway())
	}
	return false
}
