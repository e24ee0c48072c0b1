// Package endpoint derives targets from the agents' own pod addresses.
package endpoint

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
)

// Targets returns one target per ready agent, the source itself included: a node that cannot reach itself is a finding
// as well. There is a Gap for an agent without an address of the family that others can reach, because its silence must
// not look like success, and for an address that several agents have.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	var gaps []target.Gap
	missing := func(format string, args ...any) {
		gaps = append(gaps, target.Gap{Kind: target.Endpoint, Family: q.Family, Reason: fmt.Sprintf(format, args...)})
	}
	var claims target.Claims
	for _, agent := range q.Snapshot.Agents {
		if !agent.Ready() {
			continue
		}
		who := fmt.Sprintf("pod %s on node %s", agent.Pod, agent.Node)
		addresses := target.Of(q.Family, agent.Addresses)
		if len(addresses) == 0 {
			missing("%s", target.Lacks(who, q.Family, "address", agent.Addresses))
			continue
		}
		address := addresses[0]
		hostPort := target.HostPort(address, agent.HTTPPort)
		claims.Add(hostPort, address, who)
		targets = append(targets, target.Target{
			ID:       fmt.Sprintf("AgentPod%sIP_%s_%s", target.Short(q.Family), agent.Pod, address),
			Kind:     target.Endpoint,
			Family:   q.Family,
			Protocol: target.HTTP,
			Answer:   target.OnePod,
			Address:  "http://" + hostPort,
			Pod:      agent.Pod,
			Node:     agent.Node,
		})
	}
	for _, shared := range claims.Shared() {
		missing("%s have the same address %s, so nobody can tell which of them answers there", target.List(shared.By),
			shared.Address)
	}
	return targets, gaps
}
