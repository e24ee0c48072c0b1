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

// agentLimits are the reasons why agents were themselves the limit, by node. Where an agent's requests say nothing
// because another agent answered late, the limit is the other one's. A lack of CPU says more than a lack of ports.
func agentLimits(judged verdict.Verdict) map[string]verdict.Reason {
	all := map[string]verdict.Reason{}
	for _, a := range judged.Agents {
		if a.Result != verdict.ToolLimited {
			continue
		}
		limit := &a.Reason
		if limit.Limit != nil {
			limit = limit.Limit
		}
		node := cmp.Or(limit.Node, a.Node)
		if known, ok := all[node]; !ok || outOfPorts(known) {
			all[node] = *limit
		}
	}
	return all
}

// outOfPorts reports whether the limit is one of ports, descriptors or memory. Connections that nobody answers hold
// these, so a lossy network makes agents run out of them.
func outOfPorts(limit verdict.Reason) bool {
	switch limit.Code {
	case verdict.OutOfPorts, verdict.OutOfFiles:
		return true
	case verdict.Unsent:
		return limit.Missed == 0
	}
	return false
}

// suspects are the nodes whose agents were short of CPU: what they asked, and what was asked of them, says nothing of
// the network.
func suspects(judged verdict.Verdict) map[string]bool {
	all := map[string]bool{}
	for node, limit := range agentLimits(judged) {
		if !outOfPorts(limit) {
			all[node] = true
		}
	}
	return all
}

// limited returns a finding for each agent that ran out of ports, descriptors or memory. Its probes beside the load
// need few of these, and say what they saw.
func limited(judged verdict.Verdict) []Finding {
	var found []Finding
	all := agentLimits(judged)
	for _, node := range slices.Sorted(maps.Keys(all)) {
		limit := all[node]
		if !outOfPorts(limit) {
			continue
		}
		row := partOf(infer.Agent)
		found = append(found, Finding{Reason: row.reason, Component: Component(infer.Agent), Where: "node " + node,
			Nodes: []string{node}, Cause: "AgentOutOfPorts", Probability: 0.9, Confidence: Medium,
			Message: fmt.Sprintf("agent of node %s: it had no port, descriptor or memory left for some requests, so it sent "+
				"fewer than planned; look at the rate of its task, and at faults that leave connections without an answer, "+
				"which hold ports until their time is over", node),
			Evidence: []string{limit.String()}, Falsify: "it runs out of them again at a lower rate"})
	}
	return found
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
