package report

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Sum adds up paths of one agent that are not reported one by one: those of one kind and family to the nodes of one
// zone. A round of many paths has sums; a round of few has none.
type Sum struct {
	// Group is the number under which the plan has the kind, the family and the zone. It has no meaning beyond the
	// round.
	Group uint32 `json:"-"`
	// Zone is the zone of the targets' nodes; empty if unknown.
	Zone string `json:"Zone"`
	// Paths is how many paths are added up. NotPassed is how many of them did not pass.
	Paths     uint64 `json:"Paths"`
	NotPassed uint64 `json:"NotPassed"`
	// Total adds up the counts and the histograms of the paths. Its Target has only Kind, Family and Protocol. Its
	// failures have no spans, and its times are those of the first and of the last path.
	Total Path `json:"Total"`
}

// NotListed is a path in a sum that did not pass by the agent's own judgement.
type NotListed struct {
	// Index is the path's place among the agent's targets. Target is that target; mesh.Assignment.Attach sets it.
	Index  uint32
	Class  Class
	Target *target.Target
}

// Class is how a path that is not listed did not pass.
type Class uint8

// The classes. Classes is their number.
const (
	Failed Class = iota
	NotMeasured
	Doubtful
	Classes
)

// Again is a pair of nodes that failed in an earlier round, and that is probed again until it has passed AgainUntil
// times.
type Again struct {
	From string `json:"From"`
	To   string `json:"To"`
	// Passed is in how many rounds since then the pair passed.
	Passed int `json:"Passed"`
}

// AgainUntil is in how many rounds a pair that failed must pass until it is probed like all others. MaxAgain is how
// many such pairs an agent has at most.
const (
	AgainUntil = 3
	MaxAgain   = 20
)

// Mode is which pairs of nodes a round probes.
type Mode string

// The modes.
const (
	// Full: every agent probes every node.
	Full Mode = "Full"
	// Rotate: each round probes a part of the pairs, so that consecutive rounds together probe every pair.
	Rotate Mode = "Rotate"
)

// Coverage says which of all pairs of nodes a round probed. A pair is an agent and the node of another agent, or its
// own. Paths that do not lead to one node, such as those to Services, are probed by every agent in every round.
type Coverage struct {
	// Mode is empty in rounds that an earlier release stored; they probed every pair.
	Mode Mode `json:"Mode"`
	// Pairs is how many pairs the round was to probe, AllPairs how many there are.
	Pairs    uint64 `json:"Pairs"`
	AllPairs uint64 `json:"AllPairs"`
	// Rounds is how many consecutive rounds probe every pair; 1 with Full.
	Rounds uint64 `json:"Rounds"`
	// Within is the time in which consecutive rounds probe every pair; 0 if the task has no interval.
	Within time.Duration `json:"Within"`
	// Oldest is when the pairs that wait longest were probed; zero if they have not been probed yet.
	Oldest time.Time `json:"Oldest"`
}

// NodeCount counts the paths that lead to one node, whoever asked, by kind and family.
type NodeCount struct {
	Node string `json:"Node"`
	// Paths is how many paths to the node were judged, NotPassed how many of them did not pass.
	Paths     uint64 `json:"Paths"`
	NotPassed uint64 `json:"NotPassed"`
}

// NodeEnd counts the paths of one kind and family that lead to one node, whoever asked.
type NodeEnd struct {
	Kind   target.Kind
	Family topology.Family
	NodeCount
}

// ZonePair counts the paths from the nodes of one zone to those of another, or of the same.
type ZonePair struct {
	From      string `json:"From"`
	To        string `json:"To"`
	Paths     uint64 `json:"Paths"`
	NotPassed uint64 `json:"NotPassed"`
}

// Add adds the counts and histograms of another path, and of its persistent stream. Only peers that named reports are
// added. Spans are left out: their times count from the start of one path.
func (p *Path) Add(o *Path, named func(pod string) bool) {
	p.addStream(o, named)
	if o.Persistent == nil {
		return
	}
	if p.Persistent == nil {
		p.Persistent = &Path{}
	}
	p.Persistent.addStream(o.Persistent, named)
}

func (p *Path) addStream(o *Path, named func(pod string) bool) {
	p.Scheduled, p.Sent, p.Missed, p.OK = p.Scheduled+o.Scheduled, p.Sent+o.Sent, p.Missed+o.Missed, p.OK+o.OK
	p.Kernel, p.Bytes = p.Kernel+o.Kernel, p.Bytes+o.Bytes
	p.Retransmits, p.Retransmitted = p.Retransmits+o.Retransmits, p.Retransmitted+o.Retransmitted
	p.Reused, p.Closed = p.Reused+o.Reused, p.Closed+o.Closed
	p.IdleResets, p.IdleCloses = p.IdleResets+o.IdleResets, p.IdleCloses+o.IdleCloses
	p.Latency.Merge(o.Latency)
	p.Response.Merge(o.Response)
	p.Lag.Merge(o.Lag)
	for i, phase := range o.Phases {
		sum := &p.Phases[i]
		sum.Count, sum.Sum, sum.Max = sum.Count+phase.Count, sum.Sum+phase.Sum, max(sum.Max, phase.Max)
	}
	for _, f := range o.Failures {
		p.addFailure(f)
	}
	for status, n := range o.Statuses {
		if p.Statuses == nil {
			p.Statuses = map[int]uint64{}
		}
		p.Statuses[status] += n
	}
	for pod, n := range o.Peers {
		if !named(pod) {
			continue
		}
		if p.Peers == nil {
			p.Peers = map[string]uint64{}
		}
		p.Peers[pod] += n
	}
	if p.Started.IsZero() || !o.Started.IsZero() && o.Started.Before(p.Started) {
		p.Started = o.Started
	}
	if o.Ended.After(p.Ended) {
		p.Ended = o.Ended
	}
}

func (p *Path) addFailure(f Failure) {
	at := slices.IndexFunc(p.Failures, func(k Failure) bool { return k.Outcome == f.Outcome && k.Phase == f.Phase })
	if at < 0 {
		at = len(p.Failures)
		p.Failures = append(p.Failures, Failure{Outcome: f.Outcome, Phase: f.Phase})
	}
	sum := &p.Failures[at]
	sum.Count += f.Count
	for _, example := range f.Examples {
		if len(sum.Examples) < maxExamples && !slices.Contains(sum.Examples, example) {
			sum.Examples = append(sum.Examples, example)
		}
	}
}

// maxExamples bounds the examples of a failure.
const maxExamples = 3

// HasSums reports whether agents of the round were to report sums.
func (r Round) HasSums() bool {
	return slices.ContainsFunc(r.Expected, func(e Expected) bool { return e.Paths > 0 })
}

// MaxZonePairs bounds Round.ZonePairs.
const MaxZonePairs = 1000

// Finding is one fault and where it is; internal/diagnose makes findings.
type Finding struct {
	// Reason names the rule, in one word that never changes.
	Reason    string    `json:"Reason"`
	Component Component `json:"Component"`
	// Where names the thing, such as a pod and its node.
	Where      string     `json:"Where"`
	Confidence Confidence `json:"Confidence"`
	// Message is one sentence without a final stop: what is wrong, where it is seen from, and what to look at next.
	Message string `json:"Message"`
	// Evidence is the figures behind the finding, one clause each.
	Evidence []string `json:"Evidence"`
	// Nodes are the nodes where the fault is, as far as the finding names them; empty where its place is no node.
	Nodes []string `json:"Nodes,omitempty"`
	// Kinds is on how many kinds of paths the failures are, and Others is how many other nodes are at their other ends;
	// both are 0 where the finding is not about one node.
	Kinds  int `json:"Kinds,omitempty"`
	Others int `json:"Others,omitempty"`
	// Cause is why the component fails, in one word that never changes, such as PathMTUTooSmall; empty where the
	// figures do not say it. Causes are those of a group of components with different ones.
	Cause  string           `json:"Cause,omitempty"`
	Causes []ComponentCause `json:"Causes,omitempty"`
	// Probability is how likely the component is the faulty one, 0 to 1; 0 where no probability was computed.
	Probability float64 `json:"Probability,omitempty"`
	// Against is what speaks against the finding, RunnerUp the next best explanation, and Falsify what would show that
	// the finding is wrong; one clause each.
	Against  []string `json:"Against,omitempty"`
	RunnerUp string   `json:"RunnerUp,omitempty"`
	Falsify  string   `json:"Falsify,omitempty"`
	// Command reproduces a failing probe.
	Command string `json:"Command,omitempty"`
}

// ComponentCause is why a component of a group fails, if it is that one.
type ComponentCause struct {
	Component Component `json:"Component"`
	Cause     string    `json:"Cause"`
}

// Ladder is what the probes beside the counted requests cost and saw.
type Ladder struct {
	// Senders is how many agents sent probes, Sent how many probes they sent, and Failed how many of these failed.
	Senders int    `json:"Senders"`
	Sent    uint64 `json:"Sent"`
	Failed  uint64 `json:"Failed"`
	// Hosts is on how many nodes an agent in the host network took part.
	Hosts int `json:"Hosts"`
	// SmallestLoss has, for each kind of path, the smallest loss at one node that the round could have seen.
	SmallestLoss []LossBound `json:"SmallestLoss,omitempty"`
	// Failing are observations with failures, at most MaxFailing; MoreFailing is how many there are beyond.
	Failing     []ladder.Observation `json:"Failing,omitempty"`
	MoreFailing int                  `json:"MoreFailing,omitempty"`
	// Usual is what each kind of paths was like where no fault touches it, at most MaxUsual; empty where faults touch
	// nearly all paths.
	Usual []Usual `json:"Usual,omitempty"`
}

// LossBound is the smallest loss at one node that a round could have seen on one kind of path.
type LossBound struct {
	Rung ladder.Rung `json:"Rung"`
	// Probes is how many probes and requests of the kind began or ended at the node with the fewest, Loss the share of
	// them, 0 to 1, that had to be lost to be seen.
	Probes uint64  `json:"Probes"`
	Loss   float64 `json:"Loss"`
}

// MaxFailing bounds Ladder.Failing.
const MaxFailing = 200

// Confidence is how sure a finding is; internal/diagnose has the degrees.
type Confidence string

// Component is the part of the cluster that a finding is about; internal/diagnose has the components.
type Component string
