package report

import "time"

// Sum adds up paths of one agent that are not reported one by one: those of one kind and family to the nodes of one
// zone. A round of many paths has sums; a round of few has none.
type Sum struct {
	// Zone is the zone of the targets' nodes; empty if unknown.
	Zone string `json:"Zone"`
	// Paths is how many paths are added up. NotPassed is how many of them did not pass.
	Paths     uint64 `json:"Paths"`
	NotPassed uint64 `json:"NotPassed"`
	// Total adds up the counts and the histograms of the paths. Its Target has only Kind, Family and Protocol. Its
	// failures have no spans, and its times are those of the first and of the last path.
	Total Path `json:"Total"`
}

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

// ZonePair counts the paths from the nodes of one zone to those of another, or of the same.
type ZonePair struct {
	From      string `json:"From"`
	To        string `json:"To"`
	Paths     uint64 `json:"Paths"`
	NotPassed uint64 `json:"NotPassed"`
}
