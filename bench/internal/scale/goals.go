package scale

import (
	"fmt"
	"math"
	"strconv"

	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// Goal is a bound on what is measured at one number of nodes; a goal of 0 nodes holds at every number.
type Goal struct {
	Name   string
	Nodes  int
	Faults []fleet.Fault
	Bound  float64
	Unit   string
	// Value returns what is held against the bound; ok is false where the goal is not about the round.
	Value func(Result) (value float64, ok bool)
}

// The units of goals that are about rounds without a report too.
const (
	kills  = "kills"
	losses = "lost"
)

// fullRows is up to how many paths a round's report has a row for each.
const fullRows = 20_000

// Goals returns all goals.
func Goals() []Goal {
	healthy := []fleet.Fault{fleet.Healthy}
	placed := []fleet.Fault{fleet.DeadNode, fleet.BlockedPort, fleet.LostZonePair}
	always := func(value func(Result) float64) func(Result) (float64, bool) {
		return func(r Result) (float64, bool) {
			return value(r), r.Refused == nil && (r.Heartbeat == nil || r.Lost != "")
		}
	}
	peak := always(func(r Result) float64 { return float64(r.Peak) / 1e6 })
	after := always(func(r Result) float64 { return r.After })
	return []Goal{
		{"the controller keeps within its limit of memory", 0, fleet.Faults(), 0, kills,
			func(r Result) (float64, bool) { return float64(r.Killed), true }},
		{"no report is lost", 0, fleet.Faults(), 0, losses, func(r Result) (float64, bool) {
			return one(r.Lost != ""), true
		}},
		{"a round without a fault succeeds, and nothing is found", 0, healthy, 0, "wrong", always(func(r Result) float64 {
			return one(r.Outcome != "succeed" || len(r.Findings) > 0)
		})},
		{"controller, peak", 1000, healthy, 300, "MB", peak},
		{"controller, CPU of a round", 1000, healthy, 30, "s", always(func(r Result) float64 { return r.CPU })},
		{"report after the last agent's end", 1000, healthy, 5, "s", after},
		{"every pair is probed within", 1000, healthy, 60, "s", everyPair},
		{"controller, peak", 5000, healthy, 500, "MB", peak},
		{"controller, cores in a round", 5000, healthy, 1, "", always(func(r Result) float64 { return r.CPU / r.Took })},
		{"report after the last agent's end", 5000, healthy, 10, "s", after},
		{"every pair is probed within", 5000, healthy, 300, "s", everyPair},
		{"stored, full rows", 0, healthy, 100, "B a path", func(r Result) (float64, bool) {
			return r.PerPath(), r.Paths <= fullRows && r.Heartbeat == nil && r.Refused == nil
		}},
		{"GET of the report", 5000, healthy, 0.5, "s", always(func(r Result) float64 { return r.Get.Seconds })},
		{"kubectl get -o yaml", 5000, healthy, 2, "s", always(func(r Result) float64 { return r.YAML.Seconds })},
		{"kubectl get -o yaml, peak", 5000, healthy, 200, "MB",
			always(func(r Result) float64 { return float64(r.YAML.Peak) / 1e6 })},
		{"kubectl kdoctor report", 5000, healthy, 1, "s", always(func(r Result) float64 { return r.Plugin.Seconds })},
		{"kubectl kdoctor report, lines", 5000, healthy, 60, "", always(func(r Result) float64 {
			return float64(r.Plugin.Lines)
		})},
		{"heartbeat: growth of the memory", 0, healthy, 1.1, "times", ofHeartbeat(Heartbeat.Growth)},
		{"heartbeat: share of the store's bound", 0, healthy, 1, "", ofHeartbeat(func(h Heartbeat) float64 {
			return float64(h.Stored) / float64(max(1, h.MostStored))
		})},
		{"heartbeat: growth of the full store", 0, healthy, 1.1, "times", ofHeartbeat(Heartbeat.StoreGrowth)},
		{"a plan that cannot fit is refused with a sentence", 0, healthy, 0, "not so", ofRefused(func(f Refused) float64 {
			return one(!f.Told())
		})},
		{"a plan that cannot fit: agents that got one", 0, healthy, 0, "agents", ofRefused(func(f Refused) float64 {
			return float64(f.Agents)
		})},
		{"the fault is one finding, in its place", 1000, placed, 0, "not so", always(func(r Result) float64 {
			return one(!r.Placed())
		})},
		{"nodes that are blamed in vain", 1000, placed, 0, "nodes", always(func(r Result) float64 {
			return float64(r.Blamed)
		})},
	}
}

func ofHeartbeat(value func(Heartbeat) float64) func(Result) (float64, bool) {
	return func(r Result) (float64, bool) {
		if r.Heartbeat == nil {
			return 0, false
		}
		return value(*r.Heartbeat), true
	}
}

func ofRefused(value func(Refused) float64) func(Result) (float64, bool) {
	return func(r Result) (float64, bool) {
		if r.Refused == nil {
			return 0, false
		}
		return value(*r.Refused), true
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// everyPair is the time within which the report says that every pair is probed. A report that does not say it keeps no
// bound.
func everyPair(r Result) (float64, bool) {
	if r.Refused != nil {
		return 0, false
	}
	if r.Coverage == nil || r.Coverage.EveryPairWithin == "" {
		return math.Inf(1), true
	}
	return r.Coverage.EveryPairWithinInMs / 1e3, true
}

// Verdict is one goal held against one round.
type Verdict struct {
	Goal  Goal
	Of    Result
	Value float64
	Met   bool
}

// Judge holds all goals against all results.
func Judge(results []Result) []Verdict {
	var all []Verdict
	for _, goal := range Goals() {
		for _, r := range results {
			if !goal.about(r) {
				continue
			}
			value, ok := goal.Value(r)
			if !ok {
				continue
			}
			// What was not measured keeps no bound.
			all = append(all, Verdict{goal, r, value, value <= goal.Bound && (r.Lost == "" || goal.ofLost())})
		}
	}
	return all
}

// ofLost reports whether the goal is about rounds without a report too.
func (g Goal) ofLost() bool { return g.Unit == kills || g.Unit == losses }

func (g Goal) about(r Result) bool {
	if g.Nodes != 0 && g.Nodes != r.Nodes {
		return false
	}
	for _, f := range g.Faults {
		if f == r.Fault {
			return true
		}
	}
	return false
}

// Row is the verdict as cells of a table.
func (v Verdict) Row() []string {
	verdict := "met"
	if !v.Met {
		verdict = "NOT met"
	}
	measured := fmt.Sprintf("%.4g %s", v.Value, v.Goal.Unit)
	if v.Of.Lost != "" && !v.Goal.ofLost() {
		measured = "no report"
	}
	return []string{strconv.Itoa(v.Of.Nodes), string(v.Of.Fault), v.Goal.Name,
		fmt.Sprintf("<= %.4g %s", v.Goal.Bound, v.Goal.Unit), measured, verdict}
}

// GoalsHead is the head of the table of goals.
func GoalsHead() []string { return []string{"nodes", "fault", "goal", "bound", "measured", "verdict"} }
