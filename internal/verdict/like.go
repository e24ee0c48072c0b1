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

// When like paths show that a limit is not why requests on one path time out or are slow. A limit of the asker shows on
// all of its like paths, a limit of the answerer on the paths of all who ask it.
const (
	// aloneLeast is how many requests must have timed out on the path, or have been measured where it is about the
	// delay, and aloneTimes how many times as often, or as long, as on like paths. Were the limit the reason, each path
	// would have its share, and one with ten beside one with a single one would come once in a hundred and seventy
	// pairs, against several far more seldom.
	aloneLeast = 10
	aloneTimes = 10
	// aboveAll is how many standard deviations more timeouts it takes than all like paths have on average: of many
	// paths, chance makes one ten times as bad as the cleanest.
	aboveAll = 2
	// likeLeast is how many like paths there must be for the cleanest of them to be evidence; of fewer, most must be
	// clean.
	likeLeast = 3
	// cleanLeast is how many clean paths it takes, and cleanOneIn one in how many requests of all like paths these must
	// have made; so one lucky path is no evidence against nine others.
	cleanLeast = 2
	cleanOneIn = 4
	// enoughOneIn is one in how many of the path's requests a like path must have made: with few there are few timeouts
	// by chance.
	enoughOneIn = 2
)

// stream tells apart the requests of a path.
type stream int

const (
	// counted are the requests that the path is about, persistent are those over a persistent connection beside them.
	counted stream = iota
	persistent
)

// measure is what paths are compared by.
type measure int

const (
	// timeouts are all requests that timed out, ownTimeouts those that no slow answerer can cause, and answerTimeouts
	// the others.
	timeouts measure = iota
	ownTimeouts
	answerTimeouts
	// delays are how long the successful requests took.
	delays
)

// evidence is how much of something bad there was in how many requests, and how many requests speak for that.
type evidence struct{ bad, of, least float64 }

// evidenceOf is that of one stream of the path.
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
	// A request that failed otherwise ended before it could time out: it is no evidence. Nor is one that found no
	// connection of how slow answers are.
	e := evidence{of: float64(p.OK)}
	for _, f := range p.Failures {
		answer := (proxy{}).byAnswerer(f)
		if f.Outcome != probe.Timeout || (by == answerTimeouts && !answer) {
			continue
		}
		e.of += float64(f.Count)
		if by == timeouts || answer == (by == answerTimeouts) {
			e.bad += float64(f.Count)
		}
	}
	if by == ownTimeouts {
		// Nothing is connected for a request over an old connection.
		e.of -= float64(min(p.Reused, uint64(e.of)))
	}
	e.least = e.bad
	return e
}

// way is how one pod is reached.
type way struct {
	pod, device string
	kind        target.Kind
	family      topology.Family
	protocol    target.Protocol
}

func wayOf(t *target.Target) way { return way{t.Pod, t.Interface, t.Kind, t.Family, t.Protocol} }

// ranked is one path among like ones.
type ranked struct {
	path *report.Path
	evidence
}

// rankings are like paths, the cleanest first, as far as they were asked for. Paths of one agent are like those of the
// same protocol, for protocols cost an agent differently; paths of several agents are like those that reach the same
// pod in the same way.
type rankings map[rankingKey][]ranked

type rankingKey struct {
	way
	stream
	measure
}

// like is one path, and what is compared of it.
type like struct{ path, compared *report.Path }

// of ranks the paths, once.
func (r rankings) of(key rankingKey, paths func() []like) []ranked {
	if ranking, ok := r[key]; ok {
		return ranking
	}
	var ranking []ranked
	for _, p := range paths() {
		if e := evidenceOf(p.compared, key.stream, key.measure); e.of > 0 {
			ranking = append(ranking, ranked{p.path, e})
		}
	}
	slices.SortStableFunc(ranking,
		func(a, b ranked) int { return cmp.Or(cmp.Compare(a.bad*b.of, b.bad*a.of), cmp.Compare(b.of, a.of)) })
	r[key] = ranking
	return ranking
}

// standsOut reports whether the path is so much worse than like ones that nothing which all of them share can be why.
// The ranking may have the path itself in it, which is left out.
func standsOut(path *report.Path, s stream, by measure, like []ranked) bool {
	own := evidenceOf(path, s, by)
	if own.least < aloneLeast {
		return false
	}
	counts := func(r ranked) bool { return r.path != path && enoughOneIn*r.of >= own.of }
	cleaner := func(e evidence) bool { return aloneTimes*e.bad*own.of <= own.bad*e.of }
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
	if paths < likeLeast {
		return 2*better > paths
	}
	var clean evidence
	added := 0
	for _, r := range like {
		if !counts(r) {
			continue
		}
		clean.bad, clean.of, added = clean.bad+r.bad, clean.of+r.of, added+1
		if added >= cleanLeast && clean.of >= own.of && cleanOneIn*clean.of >= all {
			break
		}
	}
	average := bad / all
	chance := average*own.of + aboveAll*math.Sqrt(own.of*average*(1-average))
	return clean.of >= own.of && cleaner(clean) && (by == delays || own.bad > chance)
}
