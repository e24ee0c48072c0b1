package inventory

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// Ladder says what a snapshot has beyond the agents, for the probes that tell components apart. Empty fields leave
// their part out.
type Ladder struct {
	// Hosts is the DaemonSet of the agents in the nodes' host networks.
	Hosts string
	// DNSNamespace and DNSService name the Service of the cluster's DNS.
	DNSNamespace, DNSService string
	// APIServer is the API server's address inside the cluster.
	APIServer netip.AddrPort
}

// WithLadder returns an inventory whose snapshots have what the ladder of paths needs.
func (i *Inventory) WithLadder(l Ladder) *Inventory {
	i.ladder = l
	return i
}

// addLadder adds what the ladder needs. What cannot be read is left out: the round goes on without those probes.
func (i *Inventory) addLadder(ctx context.Context, snapshot *topology.Snapshot, nodes []corev1.Node) {
	snapshot.APIServer = i.ladder.APIServer
	if i.ladder.Hosts != "" {
		snapshot.Hosts, snapshot.HostPods = i.hosts(ctx, nodes)
	}
	if i.ladder.DNSService != "" {
		snapshot.DNS, snapshot.DNSPods = i.dns(ctx)
	}
}

// hosts returns the ready agents in host networks, one for each node, and the names of all that are not being deleted.
func (i *Inventory) hosts(ctx context.Context, nodes []corev1.Node) (found []topology.Agent, standing []string) {
	wanted, err := i.workload(ctx, topology.Workload{Kind: topology.DaemonSet, Name: i.ladder.Hosts})
	if err != nil {
		return nil, nil
	}
	pods, err := i.podsOf(ctx, i.ladder.Hosts, wanted)
	if err != nil {
		return nil, nil
	}
	byName := make(map[string]corev1.Node, len(nodes))
	for _, node := range nodes {
		byName[node.Name] = node
	}
	standing = []string{}
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil {
			standing = append(standing, pod.Name)
		}
		if agent := agentOf(pod, byName); agent.Ready() && agent.Node != "" {
			found = append(found, agent)
		}
	}
	sortAgents(found)
	slices.Sort(standing)
	return slices.CompactFunc(found, func(a, b topology.Agent) bool { return a.Node == b.Node }), standing
}

// dns returns the ready servers behind the Service of DNS, sorted by address, and the names of all that are not being
// deleted.
func (i *Inventory) dns(ctx context.Context) (servers []topology.DNSServer, standing []string) {
	var list discoveryv1.EndpointSliceList
	err := i.reader.List(ctx, &list, client.InNamespace(i.ladder.DNSNamespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: i.ladder.DNSService})
	if err != nil {
		return nil, nil
	}
	standing = []string{}
	for _, slice := range list.Items {
		port := dnsPort(slice.Ports)
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				address, ok := addressOf(text)
				if !ok || port == 0 {
					continue
				}
				server := dnsServer(endpoint, netip.AddrPortFrom(address, port))
				if is := endpoint.Conditions.Terminating; is == nil || !*is {
					standing = append(standing, server.Pod)
				}
				if is := endpoint.Conditions.Ready; is == nil || *is {
					servers = append(servers, server)
				}
			}
		}
	}
	slices.SortFunc(servers, func(a, b topology.DNSServer) int { return a.Address.Compare(b.Address) })
	slices.Sort(standing)
	return servers, slices.Compact(standing)
}

func dnsServer(endpoint discoveryv1.Endpoint, address netip.AddrPort) topology.DNSServer {
	server := topology.DNSServer{Pod: address.Addr().String(), Address: address}
	if endpoint.TargetRef != nil && endpoint.TargetRef.Kind == "Pod" {
		server.Pod = endpoint.TargetRef.Name
	}
	if endpoint.NodeName != nil {
		server.Node = *endpoint.NodeName
	}
	return server
}

// dnsPort returns the UDP port of the slice that is for DNS; 0 if there is none.
func dnsPort(ports []discoveryv1.EndpointPort) uint16 {
	for _, p := range ports {
		udp := p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP
		if udp && p.Port != nil && *p.Port > 0 && *p.Port < 1<<16 {
			return uint16(*p.Port) // #nosec G115 -- bounded above
		}
	}
	return 0
}
