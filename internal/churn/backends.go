package churn

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// setKey tells backend sets apart by where their pods stand in memory, which is enough to find one again.
type setKey struct {
	pods, also *string
	n, m       int
	uneven     string
	after      time.Duration
}

// backendSet is the churn among the pods that may answer one agent on one target.
type backendSet struct {
	report.BackendSet
	absences []absence
	// windows are when requests may fail because of any of the absences, away is when anybody was away; both sorted
	// and apart.
	windows, away []window
	// even is what part of the requests may fail where all clients are led to all pods alike.
	even share
}

// set returns the agent's backend set on the target; nil where nobody knows it, or none of it was changed.
func (e *excuser) set(agent string, t target.Target) *backendSet {
	group, known := e.behind.Of(agent, t.ID)
	if !known || len(group.Pods) == 0 {
		return nil
	}
	after := follow
	if t.Kind == target.LoadBalancer && t.Proxied() {
		after = grace
	}
	key := setKey{pods: &group.Pods[0], n: len(group.Pods), m: len(group.MayAlsoAnswer), uneven: group.UnevenWhy,
		after: after}
	if key.m > 0 {
		key.also = &group.MayAlsoAnswer[0]
	}
	set, ok := e.sets[key]
	if !ok {
		set = e.newSet(group, after)
		e.sets[key] = set
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
			set.absences = append(set.absences, e.absences(c, after)...)
		}
	}
	set.absences = append(set.absences, e.nobody(group.Pods, after)...)
	slices.SortFunc(set.absences, func(a, b absence) int { return byTime(a.change, b.change) })
	for _, a := range set.absences {
		set.windows = append(set.windows, window{from: a.from, to: a.last})
		set.away = append(set.away, a.window)
	}
	set.windows, set.away = merged(set.windows), merged(set.away)
	set.even = set.share(group.Pods, false)
	return set
}

// share is what part of the requests may fail where all of the pods are chosen alike, or where one of them, any, was
// chosen for all.
func (b *backendSet) share(pods []string, pinned bool) share {
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
	return newShare(counted, absences, pinned)
}

// backends excuses what failed while backends were away, and reports whether anything did. Either the changes explain
// all that failed while anybody was away, on all streams, or another cause is at work and they explain nothing. Nor do
// they where the report does not tell when something failed: it may have been while somebody was away.
func (e *excuser) backends(a report.Agent, t target.Target, streams []stream) bool {
	set := e.set(a.Pod, t)
	if set == nil || slices.ContainsFunc(streams, func(s stream) bool { return s.untimed }) {
		return false
	}
	shares, explained := make([]share, len(streams)), slices.Clone(streams)
	for i := range explained {
		var ok bool
		if shares[i], ok = set.explain(t, &explained[i], nil); ok {
			continue
		}
		leftOut := e.slowness(a.Pod, set)
		if leftOut == nil {
			return false
		}
		if shares[i], ok = set.explain(t, &explained[i], leftOut); !ok {
			return false
		}
	}
	found := false
	for i, by := range shares {
		s := &explained[i]
		told := len(s.path.Excuses)
		counted := slices.DeleteFunc(slices.Clone(set.absences), func(a absence) bool { return !by.pods[a.change.Pod] })
		away := func(first, last time.Duration) int { return by.over(first, last).away }
		for _, w := range set.windows {
			s.excuse(e.zero, w, counted, away, max(len(by.pods), len(set.Pods)))
		}
		found = found || len(s.path.Excuses) > told
		streams[i] = *s
	}
	return found
}

// slowness returns which failures disprove nothing, because an agent that is short of CPU may be why: one that asks
// lets requests time out on all of its paths, one that may answer lets answers come too late. It is nil where none is.
func (e *excuser) slowness(asker string, set *backendSet) func(report.Failure) bool {
	switch {
	case e.slow[asker]:
		return timedOut
	case slices.ContainsFunc(slices.Concat(set.Pods, set.MayAlsoAnswer), func(pod string) bool { return e.slow[pod] }):
		return func(f report.Failure) bool { return timedOut(f) && f.Phase > probe.Connect }
	}
	return nil
}

// explain marks the spans that the changes excuse, and returns the share by which they do. It reports whether the
// changes explain all failures of the stream while anybody was away. Of several shares that do, at one of the moments
// at which the agent may have started, the one counts that excuses most: a failure more then only takes some of them
// away. Failures that are left out, if any, count neither way.
func (b *backendSet) explain(t target.Target, s *stream, leftOut func(report.Failure) bool) (by share, ok bool) {
	out := func(at span) bool { return leftOut != nil && leftOut(s.path.Failures[at.failure]) }
	all, touching := *s, *s
	touching.spans = slices.DeleteFunc(slices.Clone(s.spans), func(at span) bool {
		return at.excused || out(at) || !slices.ContainsFunc(b.away, func(w window) bool { return s.touches(at, w) })
	})
	var most uint64
	for _, share := range append([]share{b.even}, b.uneven(t, all)...) {
		for _, shift := range []time.Duration{0, s.unsure} {
			if !share.explains(touching, b.away, shift) {
				continue
			}
			spans, count := b.excused(all, share, shift, out)
			if !ok || count > most {
				by, ok, most, s.spans = share, true, count, spans
			}
		}
	}
	return by, ok
}

// excused returns the stream's spans with those marked that lie within the windows, and that begin and end while the
// share leads requests to pods that were away.
func (b *backendSet) excused(s stream, by share, shift time.Duration, out func(span) bool) (spans []span,
	count uint64) {
	spans = slices.Clone(s.spans)
	for i, at := range spans {
		if out(at) {
			continue
		}
		within := slices.ContainsFunc(b.windows, func(w window) bool { return s.within(at, w) })
		if !at.excused && within && s.meets(by.away, at.first, shift) && s.meets(by.away, at.last, shift) {
			spans[i].excused, count = true, count+at.count
		}
	}
	return spans, count
}

// stopped reports whether the agent's CPU quota stopped it.
func stopped(o report.Observer) bool { return o.ThrottledPeriods > 1 }

func timedOut(f report.Failure) bool { return f.Outcome == probe.Timeout }

// uneven are the shares where a client may be led to other pods, or to some of the pods alone. What has answered
// shows which.
func (b *backendSet) uneven(t target.Target, s stream) []share {
	var all []share
	pods := slices.Clone(b.Pods)
	if slices.ContainsFunc(b.MayAlsoAnswer, func(pod string) bool { return s.path.Peers[pod] > 0 }) {
		pods = append(pods, b.MayAlsoAnswer...)
		all = append(all, b.share(pods, false))
	}
	if b.UnevenWhy == "" && !t.Proxied() {
		return all
	}
	pods = slices.DeleteFunc(pods, func(pod string) bool { return !b.answered(pod, s) })
	if b.UnevenWhy != "" && len(pods) > 0 {
		all = append(all, b.share(pods, false))
		for _, pod := range pods {
			if b.sole(pod, s) {
				all = append(all, b.share([]string{pod}, false))
			}
		}
	}
	if b.pinned(s) {
		all = append(all, b.share(b.withNext(pods), true))
	}
	return all
}

// withNext adds to the pods that a client was led to those that it may have been led to in their place, although
// these were away as well.
func (b *backendSet) withNext(pods []string) []string {
	var left []window
	for _, a := range b.absences {
		if slices.Contains(pods, a.change.Pod) {
			left = append(left, a.window)
		}
	}
	for _, a := range b.absences {
		if !slices.Contains(pods, a.change.Pod) && len(common(left, []window{a.window})) > 0 {
			pods = append(pods, a.change.Pod)
		}
	}
	return pods
}

// answered reports whether the stream may have been led to the pod: it answered, or was away when the stream began,
// or nobody knows who answered.
func (b *backendSet) answered(pod string, s stream) bool {
	return len(s.path.Peers) == 0 || s.path.Peers[pod] > 0 || slices.ContainsFunc(b.absences, func(a absence) bool {
		return a.change.Pod == pod && a.from <= s.start+s.unsure && a.to >= s.start
	})
}

// sole reports whether the pod was changed and may have answered alone until then, as the only one that is near does:
// those further off answer while it is away.
func (b *backendSet) sole(pod string, s stream) bool {
	quiet := time.Duration(-1)
	for _, a := range b.absences {
		if a.change.Pod == pod && (quiet < 0 || a.from-s.start < quiet) {
			quiet = max(a.from-s.start, 0)
		}
	}
	return quiet >= 0 && float64(s.path.Peers[pod]) >= s.rate()*float64(min(quiet,
		s.end-s.start))-float64(s.path.Failed()+s.path.Missed)-1
}

// pinned reports whether all requests may have been led to one pod at a time. Each change may lead the client to
// another one, and while nothing changes one pod alone answers.
func (b *backendSet) pinned(s stream) bool {
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
	// quiet is the longest time in which nobody was away, and lost is how many requests had no answer at any time.
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
