package inventory

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// addSlices compares the EndpointSlices of the Services with the agents' pods. Where they cannot be read, nothing is
// said: they only explain what requests show.
func (i *Inventory) addSlices(ctx context.Context, services []topology.Service, pods []corev1.Pod,
	agents []topology.Agent) {
	for n := range services {
		s := &services[n]
		var list discoveryv1.EndpointSliceList
		err := i.reader.List(ctx, &list, client.InNamespace(i.namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
		// Where there is not one, nobody makes any: they say nothing.
		if err == nil && len(list.Items) > 0 {
			s.Slices = compareSlices(*s, list.Items, pods, agents)
		}
	}
}

// compareSlices finds addresses that are no agent's, and agents that are missing.
func compareSlices(s topology.Service, items []discoveryv1.EndpointSlice, pods []corev1.Pod,
	agents []topology.Agent) (found topology.Slices) {
	ours := map[netip.Addr]bool{}
	for _, pod := range pods {
		for _, address := range podAddresses(pod) {
			ours[address] = true
		}
	}
	led := map[netip.Addr]bool{}
	for _, slice := range items {
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				address, ok := addressOf(text)
				if !ok {
					continue
				}
				led[address] = true
				// Service proxies lead to an endpoint that says nothing of itself.
				ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
				if ready && !ours[address] {
					found.Strange = append(found.Strange, withPort(address, slice.Ports))
				}
			}
		}
	}
	for _, agent := range agents {
		if !agent.Ready() {
			continue
		}
		for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
			if s.Serves(family) && s.Selects(agent, family) && !leadsTo(agent, family, led) {
				found.Left = append(found.Left, agent.Pod)
				break
			}
		}
	}
	slices.Sort(found.Strange)
	found.Strange = slices.Compact(found.Strange)
	slices.Sort(found.Left)
	return found
}

// leadsTo reports whether one of the agent's addresses of the family is among those to which a Service leads.
func leadsTo(agent topology.Agent, family topology.Family, led map[netip.Addr]bool) bool {
	return slices.ContainsFunc(agent.Addresses,
		func(a netip.Addr) bool { return topology.FamilyOf(a) == family && led[a] })
}

func withPort(address netip.Addr, ports []discoveryv1.EndpointPort) string {
	for _, port := range ports {
		if port.Port != nil {
			return net.JoinHostPort(address.String(), strconv.Itoa(int(*port.Port)))
		}
	}
	return address.String()
}
