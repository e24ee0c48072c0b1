// Package secondinterface derives targets from the agents' further network interfaces, which a meta-plugin such as
// Multus attaches.
package secondinterface

import (
	"cmp"
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per further address of every ready agent, on every further network.
//
// There is a Gap for an agent without a further address of the family that others can reach, for every part of the
// meta-plugin's annotation that could not be read, for an interface whose addresses of the family nobody can reach, and
// for an address that two pods or two interfaces have.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var offers []target.Offer
	var gaps []target.Gap
	missing := func(format string, args ...any) {
		gaps = append(gaps, target.Gap{Kind: target.SecondInterface, Family: q.Family,
			Reason: fmt.Sprintf(format, args...)})
	}
	var claims target.Claims
	for _, agent := range q.Snapshot.Agents {
		if !agent.Ready() {
			continue
		}
		who := fmt.Sprintf("pod %s on node %s", agent.Pod, agent.Node)
		told := len(agent.Unreadable) > 0
		for _, clause := range agent.Unreadable {
			missing("%s: %s", who, clause)
		}
		found := false
		for _, network := range agent.Interfaces {
			addresses := target.Of(q.Family, network.Addresses)
			if len(addresses) == 0 && len(target.Instead(q.Family, network.Addresses)) > 0 {
				told = true
				missing("%s", target.Lacks(who+", "+nameOf(network), q.Family, "address", network.Addresses))
			}
			for _, address := range addresses {
				found = true
				offer := offerOf(q.Family, agent, network, target.HostPort(address, agent.HTTPPort))
				offer.ID = fmt.Sprintf("AgentPod%sIP_%s_%s", target.Short(q.Family), agent.Pod, address)
				claims.Add(target.HostPort(address, agent.HTTPPort), address, who)
				offers = append(offers, offer)
			}
		}
		if !found && !told {
			missing("%s has no second interface with an %s address in its network-status annotation", who, q.Family)
		}
	}
	targets, twice := target.Distinct(offers, func(t target.Target, by []string) string {
		return fmt.Sprintf("pod %s on node %s has the same %s address on %s, and only the first of them is probed",
			t.Pod, t.Node, q.Family, target.List(by))
	})
	for _, shared := range claims.Shared() {
		missing("%s have the same address %s on a second interface, so nobody can tell which of them answers there",
			target.List(shared.By), shared.Address)
	}
	return targets, append(gaps, twice...)
}

func offerOf(family topology.Family, agent topology.Agent, network topology.Interface, hostPort string) target.Offer {
	return target.Offer{By: nameOf(network), Target: target.Target{
		Kind:      target.SecondInterface,
		Family:    family,
		Protocol:  target.HTTP,
		Answer:    target.OnePod,
		Address:   "http://" + hostPort,
		Pod:       agent.Pod,
		Node:      agent.Node,
		Interface: network.Name,
	}}
}

// nameOf returns the interface's name in a reason.
func nameOf(network topology.Interface) string {
	if network.Name != "" {
		return "interface " + network.Name
	}
	return "network " + cmp.Or(network.Network, "without a name")
}
