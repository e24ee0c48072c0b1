package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/verdict"
)

// suspects are the nodes whose agents were themselves the limit. An agent whose requests say nothing because another
// one answered late is none: the other one is.
func suspects(judged verdict.Verdict) map[string]bool {
	all := map[string]bool{}
	for _, a := range judged.Agents {
		if a.Result != verdict.ToolLimited {
			continue
		}
		limit := &a.Reason
		if limit.Limit != nil {
			limit = limit.Limit
		}
		all[cmp.Or(limit.Node, a.Node)] = true
	}
	return all
}

// starved returns a finding for each agent that was itself the limit. Whether or not probes failed, the round has no
// verdict on what the agent was to measure: that is the agent's fault, and never the network's.
func starved(suspect map[string]bool, seen []ladder.Observation) []Finding {
	var found []Finding
	for _, node := range slices.Sorted(maps.Keys(suspect)) {
		var from, to, failedFrom, failedTo uint64
		for i := range seen {
			o := &seen[i]
			if fromHost(o.Rung) && o.From == node && o.To != node {
				continue
			}
			if o.From == node {
				from, failedFrom = from+o.Sent, failedFrom+o.Failed()
			} else if o.To == node && o.Rung != ladder.HostToHost && o.Rung != ladder.PodToHost {
				to, failedTo = to+o.Sent, failedTo+o.Failed()
			}
		}
		row := partOf(infer.Agent)
		found = append(found, Finding{Reason: row.reason, Component: Component(infer.Agent), Where: "node " + node,
			Nodes: []string{node}, Cause: "AgentStarved", Probability: 0.9, Confidence: High,
			Message: fmt.Sprintf("agent of node %s: the process was short of CPU or was stopped, so what it did not send, and "+
				"what failed from it and to it, proves nothing about the network; look at %s", node, row.look),
			Evidence: []string{fmt.Sprintf("%d of %d probes and requests from it failed", failedFrom, from),
				fmt.Sprintf("%d of %d to it failed", failedTo, to)}, Falsify: row.falsify})
	}
	return found
}
