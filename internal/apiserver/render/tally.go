package render

import (
	"cmp"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// wayKey is a kind of path over one family. Both are empty for paths of which nobody knows more than that they were
// planned.
type wayKey struct {
	kind   target.Kind
	family topology.Family
}

// way adds up the paths of one kind and family.
type way struct {
	counts              systemv1beta1.PathCounts
	total, persistent   report.Path
	latency, persisting stats.Histogram
	hasPersistent       bool
}

// add takes in what one path, or the sum of several, measured.
func (w *way) add(p *report.Path) {
	addFigures(&w.total, p)
	w.latency.Merge(p.Latency)
	if p.Persistent != nil {
		w.hasPersistent = true
		addFigures(&w.persistent, p.Persistent)
		w.persisting.Merge(p.Persistent.Latency)
	}
}

// addFigures adds the counts that a summary shows.
func addFigures(to, p *report.Path) {
	to.Sent += p.Sent
	to.OK += p.OK
	to.Retransmits += p.Retransmits
	to.Retransmitted += p.Retransmitted
	to.Reused += p.Reused
	to.Closed += p.Closed
	to.IdleResets += p.IdleResets
	to.IdleCloses += p.IdleCloses
	for _, f := range p.Failures {
		i := slices.IndexFunc(to.Failures,
			func(o report.Failure) bool { return o.Outcome == f.Outcome && o.Phase == f.Phase })
		if i < 0 {
			i = len(to.Failures)
			to.Failures = append(to.Failures, report.Failure{Outcome: f.Outcome, Phase: f.Phase})
		}
		to.Failures[i].Count += f.Count
		to.Failures[i].Excused += f.Excused
	}
}

// summary is the way as the report shows it.
func (w *way) summary(key wayKey) systemv1beta1.PathSummary {
	s := systemv1beta1.PathSummary{
		TargetKind: string(key.kind), IPFamily: string(key.family), PathCounts: w.counts,
		RequestCounts: count(w.total.Sent), SuccessCounts: count(w.total.OK), VoidRequests: count(w.total.Excused()),
		Retransmits: count(w.total.Retransmits), RetransmittedRequests: count(w.total.Retransmitted),
	}
	if w.latency.Count() > 0 {
		l := latencies(w.latency)
		s.Latencies = &l
	}
	if w.hasPersistent {
		w.persistent.Latency = w.persisting
		s.KeptConnection = kept(&w.persistent)
	}
	return s
}

// class counts paths by their result. A result of a later release is a failure: it is no success that this one knows.
func class(c *systemv1beta1.PathCounts, r verdict.Result, n int64) {
	c.Paths += n
	switch r {
	case verdict.Pass:
		c.Passed += n
	case verdict.Void:
		c.Void += n
	case verdict.NoData:
		c.NoData += n
	case verdict.ToolLimited:
		c.ToolLimited += n
	case verdict.Fail:
		c.Failed += n
	default:
		c.Failed += n
	}
}

// tally is a round in figures.
type tally struct {
	known known
	// expected is what was expected of agents, by pod.
	expected map[string]report.Expected
	ways     map[wayKey]*way
	agents   systemv1beta1.AgentSummary
	nodes    map[string]*nodeTally
	worst    worst
	// listed is how many paths are reported one by one, or known by their names not to be.
	listed int64
	// began and ended are when the first agent began and when the last one was done.
	began, ended time.Time
}

// newTally returns the tally of a round of which no agent was added yet.
func newTally(round report.Round) *tally {
	t := &tally{known: newKnown(round), expected: make(map[string]report.Expected, len(round.Expected)),
		ways: map[wayKey]*way{}, nodes: map[string]*nodeTally{}}
	for _, e := range round.Expected {
		t.expected[e.Pod] = e
	}
	for _, m := range round.Missing {
		t.agents.Expected++
		if m.Excused {
			t.agents.NotReportedVoid++
		}
	}
	for _, n := range round.Nodes {
		line := t.node(n.Node)
		line.PathsTo, line.counted = count(n.Paths), count(n.NotPassed)
	}
	return t
}

// tallyOf adds up a whole round.
func tallyOf(stored verdict.StoredRound) *tally {
	t := newTally(stored.Round)
	judged := judgedAgents(stored.Verdict)
	for i := range stored.Round.Agents {
		a := &stored.Round.Agents[i]
		t.add(a, judgedAgent(judged, a.Pod))
	}
	return t
}

func (t *tally) way(key wayKey) *way {
	w := t.ways[key]
	if w == nil {
		w = &way{}
		t.ways[key] = w
	}
	return w
}

// nodeTally is a node, with how many paths to it did not pass as the judgement counted them.
type nodeTally struct {
	systemv1beta1.NodeSummary
	counted int64
}

func (t *tally) node(name string) *nodeTally {
	n := t.nodes[name]
	if n == nil {
		n = &nodeTally{NodeSummary: systemv1beta1.NodeSummary{NodeName: name}}
		t.nodes[name] = n
	}
	return n
}

// add takes in one agent.
func (t *tally) add(a *report.AgentReport, v verdict.JudgedAgent) {
	t.addUse(a)
	counts := t.addPaths(a, v, t.expected[a.Pod])
	t.agents.Expected++
	t.agents.Reported++
	switch v.Result {
	case verdict.Pass:
		t.agents.Passed++
		return
	case verdict.Void:
		t.agents.Void++
		return
	case verdict.NoData, verdict.ToolLimited, verdict.Fail:
	}
	if v.Explained {
		t.agents.Explained++
		return
	}
	t.agents.Failed++
	n := t.node(a.Node)
	n.PodName, n.RoundResult, n.FailedReason = a.Pod, Fail, clip(v.Reason.String())
	n.PathsFrom += counts.Paths
	n.NotPassedFrom += counts.Paths - counts.Passed - counts.Void
}

// addUse notes when the agent worked and what it used.
func (t *tally) addUse(a *report.AgentReport) {
	if !a.Started.IsZero() && (t.began.IsZero() || a.Started.Before(t.began)) {
		t.began = a.Started
	}
	if a.Ended.After(t.ended) {
		t.ended = a.Ended
	}
	if a.Resources.Known {
		t.agents.MaxCPUInPercent = max(t.agents.MaxCPUInPercent, finite(a.Resources.MaxCPU))
		t.agents.MaxMemoryInByte = max(t.agents.MaxMemoryInByte, count(a.Resources.MaxMemory))
	}
}

// addPaths takes in the paths of one agent, and returns what became of them.
func (t *tally) addPaths(a *report.AgentReport, v verdict.JudgedAgent,
	expected report.Expected) systemv1beta1.PathCounts {
	var all systemv1beta1.PathCounts
	judged := judgedPaths(v)
	for i := range a.Paths {
		p := &a.Paths[i]
		j := judgedPath(judged, p.Target.ID)
		w := t.way(wayKey{p.Target.Kind, p.Target.Family})
		w.add(p)
		class(&w.counts, j.Result, 1)
		class(&all, j.Result, 1)
		t.listed++
		if node := t.known.node(&p.Target); node != "" && j.Result != verdict.Pass && j.Result != verdict.Void {
			t.node(node).NotPassedTo++
		}
		t.worst.offer(a, p, j)
	}
	for i := range a.Sums {
		s := &a.Sums[i]
		w := t.way(wayKey{s.Total.Target.Kind, s.Total.Target.Family})
		w.add(&s.Total)
		addSum(&w.counts, *s)
		addSum(&all, *s)
	}
	for key, n := range t.unmeasured(a, expected, all.Paths) {
		if expected.Targets != nil {
			t.listed += n
		}
		class(&t.way(key).counts, verdict.NoData, n)
		class(&all, verdict.NoData, n)
	}
	return all
}

func addSum(c *systemv1beta1.PathCounts, s report.Sum) {
	paths, bad := count(s.Paths), count(min(s.NotPassed, s.Paths))
	c.Paths += paths
	c.Passed += paths - bad
	c.NotPassed += bad
}

// unmeasured counts the paths that were planned for the agent and of which it told nothing.
func (t *tally) unmeasured(a *report.AgentReport, expected report.Expected, told int64) map[wayKey]int64 {
	if expected.Targets == nil {
		if left := count(min(expected.Paths, math.MaxInt64)) - told; left > 0 {
			return map[wayKey]int64{{}: left}
		}
		return nil
	}
	measured := make(map[string]bool, len(a.Paths))
	for i := range a.Paths {
		measured[a.Paths[i].Target.ID] = true
	}
	left := map[wayKey]int64{}
	for _, id := range expected.Targets {
		if !measured[id] {
			one := t.known.target(id)
			left[wayKey{one.Kind, one.Family}]++
		}
	}
	return left
}

// summary is what the object has of the tally.
func (t *tally) summary() *systemv1beta1.Summary {
	s := &systemv1beta1.Summary{Agents: t.agents, PathsListed: t.listed,
		Paths: make([]systemv1beta1.PathSummary, 0, len(t.ways))}
	if !t.began.IsZero() {
		s.Agents.StartTimeStamp = new(metav1.NewTime(t.began))
	}
	if !t.ended.IsZero() {
		s.Agents.EndTimeStamp = new(metav1.NewTime(t.ended))
	}
	for key, w := range t.ways {
		s.Paths = append(s.Paths, w.summary(key))
	}
	place := func(p systemv1beta1.PathSummary) int {
		if p.TargetKind == "" {
			return math.MaxInt
		}
		return target.Kind(p.TargetKind).Traits().Place
	}
	slices.SortFunc(s.Paths, func(a, b systemv1beta1.PathSummary) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.TargetKind, b.TargetKind),
			cmp.Compare(a.IPFamily, b.IPFamily))
	})
	return s
}

// paths is how many paths there are in all.
func (t *tally) paths() int64 {
	var all int64
	for _, w := range t.ways {
		all += w.counts.Paths
	}
	return all
}

// notPassed are the nodes that did not pass, those with the most such paths first.
func (t *tally) notPassed() []systemv1beta1.NodeSummary {
	all := make([]systemv1beta1.NodeSummary, 0, len(t.nodes))
	for _, n := range t.nodes {
		// Paths that are listed may be more than the judgement counted, which leaves nodes out.
		n.NotPassedTo = max(n.NotPassedTo, n.counted)
		if n.RoundResult != "" || n.NotPassedTo > 0 {
			all = append(all, n.NodeSummary)
		}
	}
	slices.SortFunc(all, func(a, b systemv1beta1.NodeSummary) int {
		return cmp.Or(cmp.Compare(b.NotPassedTo+b.NotPassedFrom, a.NotPassedTo+a.NotPassedFrom),
			cmp.Compare(a.NodeName, b.NodeName))
	})
	return all
}

// zonePairs are the pairs of zones between which paths did not pass, those with the most first.
func zonePairs(round report.Round) []systemv1beta1.ZonePair {
	var all []systemv1beta1.ZonePair
	for _, p := range round.ZonePairs {
		if p.NotPassed > 0 {
			all = append(all, systemv1beta1.ZonePair{FromZone: p.From, ToZone: p.To, Paths: count(p.Paths),
				NotPassed: count(p.NotPassed)})
		}
	}
	slices.SortFunc(all, func(a, b systemv1beta1.ZonePair) int {
		return cmp.Or(cmp.Compare(b.NotPassed, a.NotPassed), cmp.Compare(a.FromZone, b.FromZone),
			cmp.Compare(a.ToZone, b.ToZone))
	})
	return all
}

// coverage is nil for a round that an earlier release stored.
func coverage(c report.Coverage) *systemv1beta1.Coverage {
	if c.Mode == "" {
		return nil
	}
	told := &systemv1beta1.Coverage{Mode: string(c.Mode), PairsProbed: count(c.Pairs), PairsInAll: count(c.AllPairs),
		EveryPairWithinRounds: count(c.Rounds)}
	if c.Within > 0 {
		told.EveryPairWithin, told.EveryPairWithinInMs = c.Within.String(), milliseconds(c.Within)
	}
	if !c.Oldest.IsZero() {
		told.Oldest = new(metav1.NewTime(c.Oldest))
	}
	return told
}
