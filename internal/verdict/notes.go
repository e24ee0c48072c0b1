package verdict

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// The notes.
const (
	// NodesLeftOut: Count of Of nodes run no agent and are not meant to. Outside names them.
	NodesLeftOut Code = "NodesLeftOut"
	// NodesInPart: Count of Of nodes have agents and were not looked at by every way that was asked for. Outside names
	// them.
	NodesInPart Code = "NodesInPart"
	// ShortCircuit: Count passing targets at Address prove nothing about the load balancer, because the nodes answered
	// for it themselves.
	ShortCircuit Code = "ShortCircuit"
	// PartOfPairs: the round probed Count of Of pairs of nodes. Rounds is in how many consecutive rounds every pair is
	// probed, Within how long they take; Within is 0 for a task without an interval.
	PartOfPairs Code = "PartOfPairs"
)

// Note is something that a round does not prove, whatever its result. It is no reason to fail.
type Note struct {
	Code      Code
	Count, Of uint64
	Address   string
	Outside   []report.Outside
	Rounds    uint64
	Within    time.Duration
}

// Notes returns what the round does not prove: pairs of nodes first, then nodes, then addresses in their order.
func Notes(round report.Round, v Verdict) []Note {
	var notes []Note
	if c := round.Coverage; c.Mode == report.Rotate {
		notes = append(notes, Note{Code: PartOfPairs, Count: c.Pairs, Of: c.AllPairs, Rounds: c.Rounds,
			Within: c.Within})
	}
	withAgents := agentNodes(round)
	var left, part []report.Outside
	for _, o := range round.Outside {
		if withAgents[o.Node] {
			part = append(part, o)
		} else {
			left = append(left, o)
		}
	}
	for _, n := range []Note{{Code: NodesLeftOut, Outside: left}, {Code: NodesInPart, Outside: part}} {
		if len(n.Outside) > 0 {
			n.Count, n.Of = uint64(len(n.Outside)), uint64(len(left)+len(withAgents))
			notes = append(notes, n)
		}
	}
	passed := map[string]uint64{}
	results := resultsOf(v)
	for _, a := range round.Agents {
		for _, p := range a.Paths {
			if p.Target.ShortCircuit && results[pathKey{a.Pod, p.Target.ID}] == Pass {
				passed[addressOf(p)]++
			}
		}
	}
	for _, address := range slices.Sorted(maps.Keys(passed)) {
		notes = append(notes, Note{Code: ShortCircuit, Address: address, Count: passed[address]})
	}
	return notes
}

// addressOf returns the host and port of the target, or its ID if its address is no URL.
func addressOf(p report.Path) string {
	if u, err := url.Parse(p.Target.Address); err == nil && u.Host != "" {
		return u.Host
	}
	return cmp.Or(p.Target.Address, p.Target.ID)
}

// agentNodes returns the nodes with agents.
func agentNodes(round report.Round) map[string]bool {
	all := map[string]bool{}
	for _, e := range round.Expected {
		all[e.Node] = true
	}
	for _, a := range round.Agents {
		all[a.Node] = true
	}
	for _, m := range round.Missing {
		all[m.Node] = true
	}
	delete(all, "")
	return all
}

// Counts returns how many paths have each result.
func Counts(v Verdict) map[Result]int {
	counts := map[Result]int{}
	for _, a := range v.Agents {
		for _, p := range a.Paths {
			counts[p.Result]++
		}
	}
	return counts
}

// AllCounts returns how many paths have each result, those in sums included.
func AllCounts(round report.Round, v Verdict) map[Result]uint64 {
	counts := map[Result]uint64{}
	for r, n := range Counts(v) {
		counts[r] += uint64(n) // #nosec G115 -- a count
	}
	results := make(map[string]Result, len(v.Agents))
	for _, a := range v.Agents {
		results[a.Pod] = a.Result
	}
	for _, a := range round.Agents {
		for _, sum := range a.Sums {
			counts[Fail] += sum.NotPassed
			passed := Pass
			if results[a.Pod] == ToolLimited {
				passed = ToolLimited
			}
			counts[passed] += sum.Paths - min(sum.Paths, sum.NotPassed)
		}
	}
	return counts
}

type pathKey struct{ pod, target string }

func resultsOf(v Verdict) map[pathKey]Result {
	results := map[pathKey]Result{}
	for _, a := range v.Agents {
		for _, p := range a.Paths {
			results[pathKey{a.Pod, p.Target}] = p.Result
		}
	}
	return results
}
