package verdict

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// When like paths show that a limit is not why requests on one path time out or are slow. A limit of the asker shows on all of its like
// paths, a limit of the answerer on the paths of all who ask it.
const (
	// aloneLeast is how many requests must have timed out on the path, or have been measured where it is about the delay, and aloneTimes
	// how many times as often, or as long, as on like paths. Were the limit the reason, each path would have its share, and one with ten
	// beside one with a single one would come once in a hundred and seventy pairs, against several far more seldom.
	aloneLeast = 10
	aloneTimes = 10
	// likeLeast is how many like paths there must be for the cleanest of them to be evidence; of fewer, most must be clean.
	likeLeast = 3
	// cleanLeast is how many clean paths it takes, and cleanOneIn one in how many requests of all like paths these must have made;
	// so one lucky path is no evidence against nine others.
	cleanLeast = 2
	cleanOneIn = 4
	// enoughOneIn is one in how many of the path's requests a like path must have made: with few there are few timeouts by chance.
	enoughOneIn = 2
)

// stream tells apart the requests of a path.
type stream int

const (
	// counted are the requests that the path is about, persistent are those over a persistent connection beside them.
	counted stream = iota
	persistent
	streams
)

// figures are what comparisons of paths need of one stream.
type figures struct {
	// made is how many requests say something about the path, timeouts how many of these timed out, and answers how many of the timeouts
	// a slow answerer can cause.
	made, timeouts, answers float64
	// ok is how many succeeded, took how long these took together.
	ok, took float64
}

func figuresOf(p *report.Path) figures {
	if p == nil {
		return figures{}
	}
	f := figures{made: float64(requestsOf(*p, 0).judged), ok: float64(p.OK), took: float64(p.Latency.Mean()) * float64(p.OK)}
	for _, failure := range p.Failures {
		if failure.Outcome != probe.Timeout {
			continue
		}
		f.timeouts += float64(failure.Count)
		if (proxy{}).byAnswerer(failure) {
			f.answers += float64(failure.Count)
		}
	}
	return f
}

// compared is one path among others.
type compared struct {
	protocol target.Protocol
	streams  [streams]figures
}

func comparedOf(p report.Path) compared {
	return compared{protocol: p.Target.Protocol, streams: [streams]figures{figuresOf(&p), figuresOf(p.Kept)}}
}

// way is how one pod is reached.
type way struct {
	pod, device string
	kind        target.Kind
	family      topology.Family
	protocol    target.Protocol
}

func wayOf(t target.Target) way { return way{t.Pod, t.Interface, t.Kind, t.Family, t.Protocol} }

// asked is one path to a pod.
type asked struct {
	by string
	compared
}

// evidence is how much of something bad there was in how many requests, and how many requests speak for that.
type evidence struct{ bad, of, least float64 }

// timeouts is how many requests timed out; answers counts those in that a slow answerer can cause.
func (f figures) late(answers bool) evidence {
	bad := f.timeouts
	if !answers {
		bad -= f.answers
	}
	return evidence{bad, f.made, bad}
}

// onlyAnswers is how many requests timed out in a way that a slow answerer can cause.
func (f figures) onlyAnswers() evidence { return evidence{f.answers, f.made, f.answers} }

// delay is how long the successful requests took.
func (f figures) delay() evidence { return evidence{f.took, f.ok, f.ok} }

// standsOut reports whether the path is so much worse than like ones that nothing which all of them share can be why.
func standsOut(path evidence, like []evidence) bool {
	if path.least < aloneLeast {
		return false
	}
	like = slices.DeleteFunc(like, func(e evidence) bool { return e.of == 0 || enoughOneIn*e.of < path.of })
	cleaner := func(e evidence) bool { return aloneTimes*e.bad*path.of <= path.bad*e.of }
	if len(like) < likeLeast {
		better := 0
		for _, e := range like {
			if cleaner(e) {
				better++
			}
		}
		return 2*better > len(like)
	}
	clean := cleanest(like, path.of)
	return clean.of >= path.of && cleaner(clean)
}

// cleanest adds up the like paths with the lowest rates: as few as are evidence against a path with so many requests.
func cleanest(like []evidence, made float64) evidence {
	var all float64
	for _, e := range like {
		all += e.of
	}
	slices.SortFunc(like, func(a, b evidence) int { return cmp.Or(cmp.Compare(a.bad*b.of, b.bad*a.of), cmp.Compare(b.of, a.of)) })
	var clean evidence
	for i, e := range like {
		clean.bad, clean.of = clean.bad+e.bad, clean.of+e.of
		if i+1 >= cleanLeast && clean.of >= made && cleanOneIn*clean.of >= all {
			break
		}
	}
	return clean
}
