package metrics

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// worstRows is how many paths the family of the worst paths has for a task.
const worstRows = 20

// group is a kind of path over one IP family.
type group struct {
	kind   target.Kind
	family topology.Family
}

// groupFigures are the figures of the paths of one group. What is counted adds up over rounds; paths is that of one.
type groupFigures struct {
	paths                        map[verdict.Result]uint64
	outcomes                     [probe.Outcomes]uint64
	excused, missed, retransmits uint64
	latency                      stats.Histogram
}

// count adds the requests of a path, or of several in a sum.
func (g *groupFigures) count(p *report.Path) {
	g.outcomes[probe.OK] += p.OK
	for _, f := range p.Failures {
		g.outcomes[min(f.Outcome, probe.Other)] += f.Count
	}
	g.excused += p.Excused()
	g.missed += p.Missed
	g.retransmits += p.Retransmits
	g.latency.Merge(p.Latency)
}

// add adds what is counted in another round.
func (g *groupFigures) add(o *groupFigures) {
	for i, n := range o.outcomes {
		g.outcomes[i] += n
	}
	g.excused, g.missed, g.retransmits = g.excused+o.excused, g.missed+o.missed, g.retransmits+o.retransmits
	g.latency.Merge(o.latency)
}

// The directions of a path, as a node sees it.
const (
	from = "from"
	to   = "to"
)

// end is one end of paths of one kind.
type end struct {
	node, direction string
	kind            target.Kind
}

// count is how many paths there are and how many of them failed.
type count struct{ paths, failed uint64 }

// worst is the share of failed requests from one node to another.
type worst struct {
	from, to string
	group    group
	ratio    float64
}

// finding is what distinguishes the findings that are counted together.
type finding struct {
	reason     string
	component  report.Component
	confidence report.Confidence
}

// figures are what is exposed of one round.
type figures struct {
	result             verdict.Result
	started, ended     time.Time
	expected, reported int
	silent             []string
	groups             map[group]*groupFigures
	nodes              map[end]count
	worst              []worst
	findings           map[finding]int
}

// figuresOf returns the figures of a round but for those of its agents.
func figuresOf(round *report.Round, v verdict.Verdict, found []report.Finding) *figures {
	f := &figures{result: v.Result, started: round.Started, ended: round.Ended, expected: len(round.Expected),
		groups: map[group]*groupFigures{}, nodes: map[end]count{}, findings: map[finding]int{}}
	for _, m := range round.Missing {
		if m.Node != "" && !m.Excused {
			f.silent = append(f.silent, m.Node)
		}
	}
	slices.Sort(f.silent)
	f.silent = slices.Compact(f.silent)
	for _, one := range found {
		f.findings[finding{one.Reason, one.Component, one.Confidence}]++
	}
	for _, e := range round.Ends {
		f.end(e.Node, to, e.Kind, e.Paths, e.NotPassed)
	}
	return f
}

func (f *figures) group(of *target.Target) *groupFigures {
	key := group{of.Kind, of.Family}
	g := f.groups[key]
	if g == nil {
		g = &groupFigures{paths: map[verdict.Result]uint64{}}
		f.groups[key] = g
	}
	return g
}

func (f *figures) end(node, direction string, kind target.Kind, paths, failed uint64) {
	if node == "" || paths == 0 {
		return
	}
	key := end{node, direction, kind}
	c := f.nodes[key]
	f.nodes[key] = count{c.paths + paths, c.failed + failed}
}

// agent adds the report of an agent and the judgement on it. sums reports whether agents of the round report sums:
// where paths lead to is known from report.Round.Ends alone then.
func (f *figures) agent(a *report.AgentReport, judged *verdict.JudgedAgent, sums bool) {
	f.reported++
	results := map[string]verdict.Result{}
	for _, p := range judged.Paths {
		results[p.Target] = p.Result
	}
	for i := range a.Paths {
		p := &a.Paths[i]
		result := results[p.Target.ID]
		g := f.group(&p.Target)
		g.count(p)
		g.paths[result]++
		failed := uint64(0)
		if result == verdict.Fail {
			failed = 1
			f.rank(a.Node, p)
		}
		f.end(a.Node, from, p.Target.Kind, 1, failed)
		if !sums {
			f.end(mesh.NodeOf(&p.Target), to, p.Target.Kind, 1, failed)
		}
	}
	f.sums(a, judged)
}

// sums adds the paths that the agent reports in sums alone.
func (f *figures) sums(a *report.AgentReport, judged *verdict.JudgedAgent) {
	notPassed := map[group]map[verdict.Result]uint64{}
	for _, u := range judged.Unlisted {
		t := a.NotListed[u.At].Target
		if t == nil {
			continue
		}
		key := group{t.Kind, t.Family}
		if notPassed[key] == nil {
			notPassed[key] = map[verdict.Result]uint64{}
		}
		notPassed[key][u.Result()]++
	}
	passed := verdict.Pass
	if judged.Result == verdict.ToolLimited {
		passed = verdict.ToolLimited
	}
	left := map[group]uint64{}
	for i := range a.Sums {
		sum := &a.Sums[i]
		of := &sum.Total.Target
		g := f.group(of)
		g.count(&sum.Total)
		g.paths[passed] += sum.Paths - min(sum.Paths, sum.NotPassed)
		f.end(a.Node, from, of.Kind, sum.Paths, 0)
		left[group{of.Kind, of.Family}] += sum.NotPassed
	}
	for key, n := range left {
		results := notPassed[key]
		if len(a.NotListed) == 0 {
			// A stored round does not have them: a path that its agent did not pass counts as failed.
			results = map[verdict.Result]uint64{verdict.Fail: n}
		}
		g := f.groups[key]
		for result, count := range results {
			g.paths[result] += count
			n -= min(n, count)
		}
		// The judgement leaves out what changes excuse.
		g.paths[verdict.Void] += n
		c := f.nodes[end{a.Node, from, key.kind}]
		c.failed += results[verdict.Fail]
		f.nodes[end{a.Node, from, key.kind}] = c
	}
}

// rank puts a failed path among the worst, if it is one of them.
func (f *figures) rank(node string, p *report.Path) {
	ratio := failureRatio(p)
	if p.Persistent != nil {
		ratio = max(ratio, failureRatio(p.Persistent))
	}
	if ratio == 0 {
		return
	}
	row := worst{node, mesh.NodeOf(&p.Target), group{p.Target.Kind, p.Target.Family}, ratio}
	same := func(w worst) bool { return w.from == row.from && w.to == row.to && w.group == row.group }
	if at := slices.IndexFunc(f.worst, same); at >= 0 {
		// A node may be probed by several addresses.
		row.ratio = max(row.ratio, f.worst[at].ratio)
		f.worst = slices.Delete(f.worst, at, at+1)
	}
	at, _ := slices.BinarySearchFunc(f.worst, row, compareWorst)
	f.worst = slices.Insert(f.worst, at, row)
	f.worst = f.worst[:min(len(f.worst), worstRows)]
}

// compareWorst orders the worst first.
func compareWorst(a, b worst) int {
	return cmp.Or(cmp.Compare(b.ratio, a.ratio), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to),
		cmp.Compare(a.group.kind, b.group.kind), cmp.Compare(a.group.family, b.group.family))
}

// failureRatio is the share of failed requests, without those that changes excuse; 0 if none was sent.
func failureRatio(p *report.Path) float64 {
	excused := p.Excused()
	if p.Sent <= excused {
		return 0
	}
	return float64(p.Failed()-excused) / float64(p.Sent-excused)
}
