// Package secondinterface derives targets from the agents' further network interfaces, which a meta-plugin such as Multus attaches.
package secondinterface

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
)

// Targets returns one target per further address of every ready agent, on every further network.
// An agent without a further address of the family is a Gap.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	var gaps []target.Gap
	for _, agent := range q.Snapshot.Agents {
		if !agent.Ready() {
			continue
		}
		found := false
		for _, network := range agent.Interfaces {
			for _, address := range target.Of(q.Family, network.Addresses) {
				found = true
				targets = append(targets, target.Target{
					ID:       fmt.Sprintf("AgentPod%sIP_%s_%s", target.Short(q.Family), agent.Pod, address),
					Kind:     target.SecondInterface,
					Family:   q.Family,
					Protocol: target.HTTP,
					Answer:   target.OnePod,
					Address:  "http://" + target.HostPort(address, agent.HTTPPort),
					Pod:      agent.Pod,
					Node:     agent.Node,

					Interface: network.Name,
				})
			}
		}
		if !found {
			gaps = append(gaps, target.Gap{Kind: target.SecondInterface, Family: q.Family,
				Reason: fmt.Sprintf("pod %s on node %s has no second interface with an %s address in its network-status annotation", agent.Pod, agent.Node, q.Family)})
		}
	}
	return targets, gaps
}
