package churn

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// setKey identifies a backend set by the memory of its lists of pods, which the sets of a round share.
type setKey struct {
	pods, also *string
	n, m       int
	uneven     string
	after      time.Duration
}

// backendSet is the pods that may answer one agent on one target, with their absences.
type backendSet struct {
	report.BackendSet
	absences []absence
	// failing is when requests may fail because of any absence, away is when any pod was away. The windows of both are
	// sorted and do not touch.
	failing, away []window
	// evenShare is the share of requests that may fail if all clients are led to all pods alike.
	evenShare share
}

// changedSet returns the agent's backend set on the target. changedSet is nil if the set is unknown, or if none of its
// pods was changed.
func (e *excuser) changedSet(agent string, t target.Target) *backendSet {
	group, known := e.backendSets.Of(agent, t.ID)
	if !known || len(group.Pods) == 0 {
		return nil
	}
	after := awayAfterDeletion
	if t.Kind == target.LoadBalancer && t.Proxied() {
		after = tolerance
	}
	key := setKey{pods: &group.Pods[0], n: len(group.Pods), m: len(group.MayAlsoAnswer), uneven: group.UnevenWhy,
		after: after}
	if key.m > 0 {
		key.also = &group.MayAlsoAnswer[0]
	}
	set, ok := e.changedSets[key]
	if !ok {
		set = e.newSet(group, after)
		e.changedSets[key] = set
	}
	if len(set.absences) == 0 {
		return nil
	}
	return set
}

func (e *excuser) newSet(group report.BackendSet, after time.Duration) *backendSet {
	set := &backendSet{BackendSet: group}
	for _, pod := range slices.Concat(group.Pods, group.MayAlsoAnswer) {
		for _, c := range e.changes[pod] {
			set.absences = append(set.absences, e.backendAbsences(c, after)...)
		}
	}
	set.absences = append(set.absences, e.allAway(group.Pods, after)...)
	slices.SortFunc(set.absences, func(a, b absence) int { return byTime(a.change, b.change) })
	for _, a := range set.absences {
		set.failing = append(set.failing, window{from: a.from, to: a.failingUntil})
		set.away = append(set.away, a.window)
	}
	set.failing, set.away = union(set.failing), union(set.away)
	set.evenShare = set.share(group.Pods, false)
	return set
}

// share returns the share of requests that may fail if each of the pods is equally likely to be chosen or, with sticky,
// if one unknown pod is chosen for all requests.
func (b *backendSet) share(pods []string, sticky bool) share {
	counted := make(map[string]bool, len(pods))
	for _, pod := range pods {
		counted[pod] = true
	}
	var absences []absence
	for _, a := range b.absences {
		if counted[a.change.Pod] {
			absences = append(absences, a)
		}
	}
	return newShare(counted, absences, sticky)
}

// excuseBackends excuses what failed while backends were away, and reports whether anything was excused. Either the
// changes explain all failures of all streams while any backend was away, or another cause is at work and the changes
// explain nothing. The changes also explain nothing if the report does not say when a failure happened: that may have
// been while a backend was away.
func (e *excuser) excuseBackends(a report.AgentReport, t target.Target, streams []stream) bool {
	set := e.changedSet(a.Pod, t)
	if set == nil || slices.ContainsFunc(streams, func(s stream) bool { return s.untimed }) {
		return false
	}
	shares, explained := make([]share, len(streams)), slices.Clone(streams)
	for i := range explained {
		var ok bool
		if shares[i], ok = set.explain(t, &explained[i], nil); ok {
			continue
		}
		ignore := e.ignoredTimeouts(a.Pod, set)
		if ignore == nil {
			return false
		}
		if shares[i], ok = set.explain(t, &explained[i], ignore); !ok {
			return false
		}
	}
	found := false
	for i, by := range shares {
		s := &explained[i]
		before := len(s.path.Excuses)
		counted := slices.DeleteFunc(slices.Clone(set.absences), func(a absence) bool { return !by.pods[a.change.Pod] })
		away := func(first, last time.Duration) int { return by.between(first, last).away }
		for _, w := range set.failing {
			s.addExcuse(e.zero, w, counted, away, max(len(by.pods), len(set.Pods)))
		}
		found = found || len(s.path.Excuses) > before
		streams[i] = *s
	}
	return found
}

// ignoredTimeouts returns which failures do not disprove an excuse, because an agent that is short of CPU may have
// caused them. On a throttled asker requests time out on all paths; from a throttled backend answers come too late.
// ignoredTimeouts is nil if no agent was throttled.
func (e *excuser) ignoredTimeouts(asker string, set *backendSet) func(report.Failure) bool {
	switch {
	case e.throttled[asker]:
		return timedOut
	case slices.ContainsFunc(slices.Concat(set.Pods, set.MayAlsoAnswer),
		func(pod string) bool { return e.throttled[pod] }):
		return func(f report.Failure) bool { return timedOut(f) && f.Phase > probe.Connect }
	}
	return nil
}

// explain marks the spans that the changes excuse, and returns the share by which they do so. ok reports whether the
// changes explain all failures of the stream while any pod was away. If several shares explain the failures, at the
// earliest or the latest possible start, the one that excuses most is taken: one more failure then only takes some
// excuses away. Failures that ignore picks, if set, count neither way.
func (b *backendSet) explain(t target.Target, s *stream, ignore func(report.Failure) bool) (by share, ok bool) {
	ignored := func(at span) bool { return ignore != nil && ignore(s.path.Failures[at.failure]) }
	all, touching := *s, *s
	touching.spans = slices.DeleteFunc(slices.Clone(s.spans), func(at span) bool {
		return at.excused || ignored(at) ||
			!slices.ContainsFunc(b.away, func(w window) bool { return s.mayTouch(at, w) })
	})
	var most uint64
	for _, share := range append([]share{b.evenShare}, b.unevenShares(t, all)...) {
		for _, shift := range []time.Duration{0, s.startDoubt} {
			if !share.explains(touching, b.away, shift) {
				continue
			}
			spans, count := b.excusedSpans(all, share, shift, ignored)
			if !ok || count > most {
				by, ok, most, s.spans = share, true, count, spans
			}
		}
	}
	return by, ok
}

// excusedSpans returns the stream's spans, with those marked that lie within the windows, and that begin and end while
// the share leads requests to pods that were away. count is the number of failures in newly marked spans.
func (b *backendSet) excusedSpans(s stream, by share, shift time.Duration, ignored func(span) bool) (spans []span,
	count uint64) {
	spans = slices.Clone(s.spans)
	for i, at := range spans {
		if ignored(at) {
			continue
		}
		within := slices.ContainsFunc(b.failing, func(w window) bool { return s.liesWithin(at, w) })
		if !at.excused && within && s.mayMeet(by.away, at.first, shift) && s.mayMeet(by.away, at.last, shift) {
			spans[i].excused, count = true, count+at.count
		}
	}
	return spans, count
}

// isThrottled reports whether the agent's CPU quota stopped it.
func isThrottled(o report.Observer) bool { return o.ThrottledPeriods > 1 }

func timedOut(f report.Failure) bool { return f.Outcome == probe.Timeout }

// unevenShares returns the shares that hold if a client may be led to other pods, or only to some of the pods. The
// answers of the stream show which of them are possible.
func (b *backendSet) unevenShares(t target.Target, s stream) []share {
	var all []share
	pods := slices.Clone(b.Pods)
	if slices.ContainsFunc(b.MayAlsoAnswer, func(pod string) bool { return s.path.Peers[pod] > 0 }) {
		pods = append(pods, b.MayAlsoAnswer...)
		all = append(all, b.share(pods, false))
	}
	if b.UnevenWhy == "" && !t.Proxied() {
		return all
	}
	pods = slices.DeleteFunc(pods, func(pod string) bool { return !b.mayHaveServed(pod, s) })
	if b.UnevenWhy != "" && len(pods) > 0 {
		all = append(all, b.share(pods, false))
		for _, pod := range pods {
			if b.mayHaveServedAlone(pod, s) {
				all = append(all, b.share([]string{pod}, false))
			}
		}
	}
	if b.mayBeSticky(s) {
		all = append(all, b.share(b.withSubstitutes(pods), true))
	}
	return all
}

// withSubstitutes adds to the pods that a client was led to the pods that may have been chosen in their place and were
// away as well.
func (b *backendSet) withSubstitutes(pods []string) []string {
	var left []window
	for _, a := range b.absences {
		if slices.Contains(pods, a.change.Pod) {
			left = append(left, a.window)
		}
	}
	for _, a := range b.absences {
		if !slices.Contains(pods, a.change.Pod) && len(intersection(left, []window{a.window})) > 0 {
			pods = append(pods, a.change.Pod)
		}
	}
	return pods
}

// mayHaveServed reports whether requests of the stream may have been led to the pod: the pod answered, or was away when
// the stream began, or the report does not say who answered.
func (b *backendSet) mayHaveServed(pod string, s stream) bool {
	return len(s.path.Peers) == 0 || s.path.Peers[pod] > 0 || slices.ContainsFunc(b.absences, func(a absence) bool {
		return a.change.Pod == pod && a.from <= s.start+s.startDoubt && a.to >= s.start
	})
}

// mayHaveServedAlone reports whether the pod was changed and may have answered all requests until then, as the only
// nearby backend does. Backends further away answer while it is away.
func (b *backendSet) mayHaveServedAlone(pod string, s stream) bool {
	quiet := time.Duration(-1)
	for _, a := range b.absences {
		if a.change.Pod == pod && (quiet < 0 || a.from-s.start < quiet) {
			quiet = max(a.from-s.start, 0)
		}
	}
	return quiet >= 0 && float64(s.path.Peers[pod]) >= s.rate()*float64(min(quiet,
		s.end-s.start))-float64(s.path.Failed()+s.path.Missed)-1
}

// mayBeSticky reports whether all requests may have been led to one pod at a time. Each change may lead the client to
// another pod, and between changes only one pod answers.
func (b *backendSet) mayBeSticky(s stream) bool {
	changes := map[report.Change]struct{}{}
	for _, a := range b.absences {
		changes[a.change] = struct{}{}
	}
	if len(s.path.Peers) > 1+len(changes) {
		return false
	}
	var most uint64
	for _, n := range s.path.Peers {
		most = max(most, n)
	}
	// quiet is the longest period in which no pod was away. lost is how many requests had no answer.
	var quiet time.Duration
	from := s.start
	for _, w := range b.away {
		quiet = max(quiet, min(w.from, s.end)-from)
		from = max(from, w.to)
	}
	quiet = max(quiet, s.end-from)
	lost := float64(s.path.Failed() + s.path.Missed)
	return len(s.path.Peers) == 0 || float64(most) >= s.rate()*float64(quiet)-lost-1
}
