package verdict

import (
	"cmp"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// These decide when like paths show that a limit is not why requests on one path time out or are slow. A limit of the
// asker shows on all of its like paths, a limit of the answerer on the paths of all who ask it.
const (
	// minBadRequests is how many requests must have timed out on the path or, for the delay, must have been measured.
	// minTimesWorse is how many times worse than its like paths the path must be. If the limit were the reason,
	// timeouts would spread evenly: ten on one path and one on another occur by chance in one of 170 pairs, and far
	// more seldom against several paths.
	minBadRequests = 10
	minTimesWorse  = 10
	// deviationsAboveAverage is how many standard deviations above the average of all like paths the timeouts must lie:
	// of many paths, chance makes one ten times as bad as the best.
	deviationsAboveAverage = 2
	// minLikePaths is how many like paths there must be for the cleanest ones to be evidence. Of fewer, most must be
	// clean.
	minLikePaths = 3
	// minCleanPaths is how many clean paths must be found, and one in cleanOneIn of the requests of all like paths must
	// be theirs. So one lucky path is no evidence against nine others.
	minCleanPaths = 2
	cleanOneIn    = 4
	// comparableOneIn is one in how many of the path's requests a like path must have made: a path with few requests
	// has few timeouts by chance.
	comparableOneIn = 2
)

// stream is one of the two streams of requests of a path.
type stream int

const (
	// counted are the requests that the path is about, persistent are the requests over a persistent connection beside
	// them.
	counted stream = iota
	persistent
)

// measure is what paths are compared by.
type measure int

const (
	// timeouts are all requests that timed out. ownTimeouts are the timeouts that no slow answerer can cause,
	// answerTimeouts the others.
	timeouts measure = iota
	ownTimeouts
	answerTimeouts
	// delays are how long the successful requests took.
	delays
)

// evidence is how much of a bad measure there was in how many requests. support is how many requests prove it.
type evidence struct{ bad, of, support float64 }

// evidenceOf returns the evidence of one stream of the path.
func evidenceOf(p *report.Path, s stream, by measure) evidence {
	if s == persistent {
		p = p.Persistent
	}
	if p == nil {
		return evidence{}
	}
	if by == delays {
		n := float64(p.OK)
		return evidence{float64(p.Latency.Mean()) * n, n, n}
	}
	// A request that failed in another way ended before it could time out, so it is no evidence. A request that found
	// no connection is no evidence of slow answers.
	e := evidence{of: float64(p.OK)}
	for _, f := range p.Failures {
		answer := (proxy{}).mayBeAnswerer(f)
		if f.Outcome != probe.Timeout || (by == answerTimeouts && !answer) {
			continue
		}
		e.of += float64(f.Count)
		if by == timeouts || answer == (by == answerTimeouts) {
			e.bad += float64(f.Count)
		}
	}
	if by == ownTimeouts {
		// A request over an existing connection does not connect.
		e.of -= float64(min(p.Reused, uint64(e.of)))
	}
	e.support = e.bad
	return e
}

// route is how one pod is reached.
type route struct {
	pod, device string
	kind        target.Kind
	family      topology.Family
	protocol    target.Protocol
}

func routeOf(t *target.Target) route { return route{t.Pod, t.Interface, t.Kind, t.Family, t.Protocol} }

// ranked is one path among like paths.
type ranked struct {
	path *report.Path
	evidence
}

// rankings are like paths, the cleanest first, as far as they were asked for. Paths of one agent are like if they have
// the same protocol, because protocols cost an agent differently. Paths of several agents are like if they reach the
// same pod by the same route.
type rankings map[rankingKey][]ranked

type rankingKey struct {
	route
	stream
	measure
}

// comparedPath is one path, and the counts by which it is compared.
type comparedPath struct{ path, counted *report.Path }

// ranking ranks the paths, once for each key.
func (r rankings) ranking(key rankingKey, paths func() []comparedPath) []ranked {
	if ranking, ok := r[key]; ok {
		return ranking
	}
	var ranking []ranked
	for _, p := range paths() {
		if e := evidenceOf(p.counted, key.stream, key.measure); e.of > 0 {
			ranking = append(ranking, ranked{p.path, e})
		}
	}
	slices.SortStableFunc(ranking,
		func(a, b ranked) int { return cmp.Or(cmp.Compare(a.bad*b.of, b.bad*a.of), cmp.Compare(b.of, a.of)) })
	r[key] = ranking
	return ranking
}

// standsOut reports whether the path is so much worse than like paths that the reason cannot be shared by all of them.
// The ranking may include the path itself, which is left out.
func standsOut(path *report.Path, s stream, by measure, like []ranked) bool {
	own := evidenceOf(path, s, by)
	if own.support < minBadRequests {
		return false
	}
	counts := func(r ranked) bool { return r.path != path && comparableOneIn*r.of >= own.of }
	cleaner := func(e evidence) bool { return minTimesWorse*e.bad*own.of <= own.bad*e.of }
	paths, better, all, bad := 0, 0, 0.0, 0.0
	for _, r := range like {
		if !counts(r) {
			continue
		}
		paths, all, bad = paths+1, all+r.of, bad+r.bad
		if cleaner(r.evidence) {
			better++
		}
	}
	if paths < minLikePaths {
		return 2*better > paths
	}
	var clean evidence
	added := 0
	for _, r := range like {
		if !counts(r) {
			continue
		}
		clean.bad, clean.of, added = clean.bad+r.bad, clean.of+r.of, added+1
		if added >= minCleanPaths && clean.of >= own.of && cleanOneIn*clean.of >= all {
			break
		}
	}
	average := bad / all
	chance := average*own.of + deviationsAboveAverage*math.Sqrt(own.of*average*(1-average))
	return clean.of >= own.of && cleaner(clean) && (by == delays || own.bad > chance)
}
