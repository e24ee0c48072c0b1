package inventory

import (
	"context"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// addSlices compares the EndpointSlices of the Services with the agents' pods. Where they cannot be read, nothing is
// said: they only explain what requests show.
func (i *Inventory) addSlices(ctx context.Context, services []topology.Service, pods []corev1.Pod,
	agents []topology.Agent) {
	ours := allAddresses(pods)
	for n := range services {
		s := &services[n]
		var list discoveryv1.EndpointSliceList
		err := i.reader.List(ctx, &list, client.InNamespace(i.namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
		// Where there is not one, nobody makes any: they say nothing.
		if err == nil && len(list.Items) > 0 {
			s.Slices = compareSlices(*s, list.Items, ours, agents)
			s.Slices.Gone = i.departed.note(s.Name, time.Now(), ledTo(list.Items), ours)
		}
	}
}

// allAddresses returns all addresses of the pods.
func allAddresses(pods []corev1.Pod) map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	for _, pod := range pods {
		for _, address := range podAddresses(pod) {
			all[address] = true
		}
	}
	return all
}

// compareSlices finds addresses that are no agent's, and agents that are missing. ours are the agents' addresses.
func compareSlices(s topology.Service, items []discoveryv1.EndpointSlice, ours map[netip.Addr]bool,
	agents []topology.Agent) (found topology.Slices) {
	led := map[netip.Addr]bool{}
	for _, slice := range items {
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				address, ok := addressOf(text)
				if !ok {
					continue
				}
				led[address] = true
				if isReady(endpoint) && !ours[address] {
					found.Strange = append(found.Strange, inText(netip.AddrPortFrom(address, firstPort(slice.Ports))))
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

// isReady reports whether Service proxies lead to the endpoint, as they do to one that says nothing of itself.
func isReady(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// ledTo returns the addresses to which Service proxies lead, with their ports.
func ledTo(items []discoveryv1.EndpointSlice) map[netip.AddrPort]bool {
	led := map[netip.AddrPort]bool{}
	for _, slice := range items {
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				if address, ok := addressOf(text); ok && isReady(endpoint) {
					led[netip.AddrPortFrom(address, firstPort(slice.Ports))] = true
				}
			}
		}
	}
	return led
}

// leadsTo reports whether one of the agent's addresses of the family is among those to which a Service leads.
func leadsTo(agent topology.Agent, family topology.Family, led map[netip.Addr]bool) bool {
	return slices.ContainsFunc(agent.Addresses,
		func(a netip.Addr) bool { return topology.FamilyOf(a) == family && led[a] })
}

// firstPort returns the first port of an EndpointSlice, 0 if it has none.
func firstPort(ports []discoveryv1.EndpointPort) uint16 {
	for _, port := range ports {
		if port.Port != nil {
			return portOf(*port.Port)
		}
	}
	return 0
}

// inText returns the address with its port, or alone without one.
func inText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
