// Package scale measures the controller with many agents: the real controller, aggregated API, kubectl and plugin on a
// real API server, with simulated agents in place of nodes.
package scale

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// Result is what was measured of one round.
type Result struct {
	Nodes int         `json:"Nodes"`
	Fault fleet.Fault `json:"Fault"`
	// Lost is why there is no report; empty when there is one. Killed is how many times the kernel killed the
	// controller because its limit of memory was reached, Restarts is how many times it was started again.
	Lost     string `json:"Lost,omitempty"`
	Killed   int    `json:"Killed,omitempty"`
	Restarts int    `json:"Restarts,omitempty"`
	// Outcome is how the round ended by the task's status.
	Outcome string `json:"Outcome"`
	// Agents is how many agents began the round, Paths is how many paths they measured. AgentsTook is the time from the
	// first agent's begin to the last agent's end: much more than the load lasts where this machine cannot compute in
	// time what so many agents measure.
	Agents     int     `json:"Agents"`
	AgentsTook float64 `json:"AgentsTook"`
	Paths      uint64  `json:"Paths"`
	// Took is the time from the making of the task until its status said that the round was over, in seconds. After is
	// the time from the last agent's end until the report was served.
	Took  float64 `json:"Took"`
	After float64 `json:"After"`
	// CPU is the controller's CPU time in seconds from the making of the task until the report was served. Peak is the
	// peak of its resident memory in that time, in bytes. ReadPeak is the peak while the report was read.
	CPU      float64 `json:"CPU"`
	Peak     uint64  `json:"Peak"`
	ReadPeak uint64  `json:"ReadPeak"`
	// Get, YAML and Plugin are a GET of the report, `kubectl get -o yaml` and `kubectl kdoctor report`.
	Get    Ran `json:"Get"`
	YAML   Ran `json:"YAML"`
	Plugin Ran `json:"Plugin"`
	// Stored is how many bytes the round takes in the store, Status how many the task takes in the API.
	Stored uint64 `json:"Stored"`
	Status int    `json:"Status"`
	// Reasons is how many reasons the report has for a failed round, FirstReason is one of them. NotReported is how
	// many agents gave no report.
	Reasons     int    `json:"Reasons"`
	FirstReason string `json:"FirstReason,omitempty"`
	NotReported int    `json:"NotReported,omitempty"`

	Findings []Finding `json:"Findings,omitempty"`
	// Blamed is how many nodes the status calls failed that are not where the fault is, BlamedFirst is one of them.
	Blamed      int    `json:"Blamed,omitempty"`
	BlamedFirst string `json:"BlamedFirst,omitempty"`
	// Coverage is what the report says of the pairs that it covers; nil where it says nothing.
	Coverage *systemv1beta1.Coverage `json:"Coverage,omitempty"`
	// Heartbeat is about many rounds; nil where the result is about one.
	Heartbeat *Heartbeat `json:"Heartbeat,omitempty"`
	// Refused is about a task whose plan cannot fit; nil where the result is about another.
	Refused *Refused `json:"Refused,omitempty"`
}

// Finding is what the report says of where a fault is.
type Finding struct {
	Reason string `json:"Reason"`
	Where  string `json:"Where"`
}

// of fills in what the task's status says of the round.
func (r *Result) of(record v1beta1.Record) {
	r.Outcome = string(record.Status)
	r.Blamed = len(record.FailedAgentNodeList)
	if n := record.FailedAgentNodeNumber; n != nil {
		r.Blamed = int(*n)
	}
	for _, node := range record.FailedAgentNodeList {
		if slices.Contains(r.Fault.Places(r.Nodes), node) {
			r.Blamed--
		} else {
			r.BlamedFirst = cmp.Or(r.BlamedFirst, node)
		}
	}
}

// PerPath is how many bytes are stored for one path.
func (r Result) PerPath() float64 {
	if r.Paths == 0 {
		return 0
	}
	return float64(r.Stored) / float64(r.Paths)
}

// Placed reports whether there is one finding, and it is about the fault's place.
func (r Result) Placed() bool {
	return len(r.Findings) == 1 && !slices.ContainsFunc(r.Fault.Places(r.Nodes),
		func(place string) bool { return !strings.Contains(r.Findings[0].Where, place) })
}

// Row is the result as cells of a table.
func (r Result) Row() []string {
	if r.Lost != "" {
		empty := make([]string, 9)
		return append([]string{strconv.Itoa(r.Nodes), string(r.Fault), "lost", mega(r.Peak)}, empty...)
	}
	if r.Refused != nil || r.Heartbeat != nil {
		empty := make([]string, 9)
		what, peak := "refused", ""
		if r.Heartbeat != nil {
			what, peak = "heartbeat", mega(r.Peak)
		}
		return append([]string{strconv.Itoa(r.Nodes), what, r.Outcome, peak}, empty...)
	}
	return []string{strconv.Itoa(r.Nodes), string(r.Fault), r.Outcome, mega(r.Peak), mega(r.ReadPeak),
		fmt.Sprintf("%.1f s", r.CPU), seconds(r.After),
		shown(r.Get, fmt.Sprintf("%s %s", seconds(r.Get.Seconds), size(r.Get.Bytes))),
		shown(r.YAML, fmt.Sprintf("%s %s", seconds(r.YAML.Seconds), mega(r.YAML.Peak))),
		shown(r.Plugin, fmt.Sprintf("%s %d", seconds(r.Plugin.Seconds), r.Plugin.Lines)),
		fmt.Sprintf("%.0f B", r.PerPath()), strconv.Itoa(r.Reasons), strconv.Itoa(len(r.Findings))}
}

// Head is the head of the table.
func Head() []string {
	return []string{"nodes", "fault", "result", "peak", "read peak", "CPU", "report after", "GET", "kubectl -o yaml",
		"plugin, lines", "a path", "reasons", "findings"}
}

func shown(r Ran, text string) string {
	if r.Failed != "" {
		return "failed"
	}
	return text
}

func mega(bytes uint64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

func size(bytes int) string {
	if bytes < 1e6 {
		return fmt.Sprintf("%.0f kB", float64(bytes)/1e3)
	}
	return mega(uint64(bytes)) // #nosec G115 -- it is positive
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f s", s)
}

// since is the time between two moments in seconds, at least 0.
func since(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }

// Lines are what a table has no room for, one sentence each.
func (r Result) Lines() []string {
	var lines []string
	if r.Killed > 0 {
		lines = append(lines, fmt.Sprintf("the controller was killed %d times because it needed more memory than it "+
			"may", r.Killed))
	}
	if h := r.Heartbeat; h != nil {
		lines = append(lines, fmt.Sprintf("%d rounds in %.0f s: the peak of a round grew %.2f times, by %.1f kB a round; %s "+
			"are stored of %s, %d rounds at most, and %.2f times as much as when these were first reached; %d rounds did "+
			"not succeed", h.Rounds, h.Seconds, h.Growth(), h.Slope()/1e3, mega(h.Stored), mega(h.MostStored), h.Kept,
			h.StoreGrowth(), r.Reasons))
	}
	if f := r.Refused; f != nil {
		return append(lines, fmt.Sprintf("a plan that cannot fit was refused after %s, and %d agents got one: %s",
			seconds(r.Took), f.Agents, f.Why))
	}
	if r.Lost != "" {
		return append(lines, "the report is lost: "+strings.Join(strings.Fields(r.Lost), " "))
	}
	if r.FirstReason != "" && r.Heartbeat == nil {
		lines = append(lines, fmt.Sprintf("%d agents took %.0f s from the first begin to the last end, %d gave no "+
			"report; the first of %d reasons: %s", r.Agents, r.AgentsTook, r.NotReported, r.Reasons, r.FirstReason))
	}
	for _, f := range r.Findings {
		lines = append(lines, fmt.Sprintf("found %s: %s", f.Reason, f.Where))
	}
	if r.Blamed > 0 {
		lines = append(lines, fmt.Sprintf("%d nodes are called failed that are not where the fault is, such as %s",
			r.Blamed, r.BlamedFirst))
	}
	if c := r.Coverage; c != nil && c.PairsProbed < c.PairsInAll {
		lines = append(lines, fmt.Sprintf("%d of %d pairs of nodes were probed, every pair is within %s (%d rounds)",
			c.PairsProbed, c.PairsInAll, c.EveryPairWithin, c.EveryPairWithinRounds))
	}
	for name, ran := range map[string]Ran{"kubectl get -o yaml": r.YAML, "kubectl kdoctor report": r.Plugin} {
		if ran.Failed != "" {
			lines = append(lines, fmt.Sprintf("%s failed after %s: %s", name, seconds(ran.Seconds), ran.Failed))
		}
	}
	return lines
}
