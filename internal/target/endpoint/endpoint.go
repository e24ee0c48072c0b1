// Package endpoint derives targets from the agents' own pod addresses.
package endpoint

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
)

// Targets returns one target per ready agent, the source itself included: a node that cannot reach itself is a finding too.
// An agent without an address of the family is a Gap, because its silence must not look like success.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	var gaps []target.Gap
	for _, agent := range q.Snapshot.Agents {
		if !agent.Ready() {
			continue
		}
		addresses := target.Of(q.Family, agent.Addresses)
		if len(addresses) == 0 {
			gaps = append(gaps, target.Gap{Kind: target.Endpoint, Family: q.Family,
				Reason: fmt.Sprintf("pod %s on node %s has no %s address", agent.Pod, agent.Node, q.Family)})
			continue
		}
		address := addresses[0]
		targets = append(targets, target.Target{
			ID:       fmt.Sprintf("AgentPod%sIP_%s_%s", target.Short(q.Family), agent.Pod, address),
			Kind:     target.Endpoint,
			Family:   q.Family,
			Protocol: target.HTTP,
			Answer:   target.OnePod,
			Address:  "http://" + target.HostPort(address, agent.HTTPPort),
			Pod:      agent.Pod,
			Node:     agent.Node,
		})
	}
	return targets, gaps
}
