package diagnose

import (
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// part has what is said about faults of one kind of component.
type part struct {
	part infer.Part
	// reason is the finding's Reason.
	reason string
	// look is what to look at, falsify what would show that the finding is wrong.
	look, falsify string
}

// parts is the table of components that localisation finds.
func parts() []part {
	return []part{
		{infer.Agent, "AgentFault", "the agent's pod: its log, CPU limit and restarts",
			"another server on the same node does not answer either"},
		{infer.HostAgent, "HostAgentFault", "the agent's pod in the host network: its log, CPU limit and restarts",
			"another server in the node's host network does not answer either"},
		{infer.PodNetwork, "PodNetworkFault", "the CNI plugin on the node: the pod's interface and its link to the node",
			"the node's host network reaches the pod"},
		{infer.Forwarding, "ForwardingFault", "the node's ip_forward sysctls and the FORWARD chain of its firewall",
			"the node's pods reach the host network of other nodes"},
		{infer.Overlay, "OverlayFault", "the node's tunnel or routes to other nodes' pods, and its firewall for the tunnel",
			"host to host to this node fails as well: then it is the node's network"},
		{infer.NodeNetwork, "NodeNetworkFault", "the node's interface, link, switch port and firewall",
			"host to host to this node is clean: then it is the overlay"},
		{infer.PolicyIn, "PolicyFault", "network policies, and the CNI's filters, for traffic into the agent's pod",
			"the pod cannot reach others either"},
		{infer.PolicyOut, "EgressPolicyFault", "network policies, and the CNI's filters, for traffic out of the agent's pod",
			"others cannot reach the pod either"},
		{infer.PolicyPair, "PolicyPairFault", "network policies, and the CNI's filters, between the two pods",
			"the host network of one node does not reach the pod on the other either"},
		{infer.ProbePort, "ProbePortBlocked", "the node's firewall for the port of kdoctor's host agent; nothing else fails",
			"TCP or echo requests to the node fail as well"},
		{infer.PodPair, "OverlayPairFault", "the tunnel entry, neighbour entry or route of each of the two nodes for the other",
			"either node fails to reach a third node"},
		{infer.NodePair, "NodePairFault", "the neighbour entries of the two nodes for each other, and the link between them",
			"either node fails to reach a third node"},
		{infer.ZonePair, "ZonePairFault", "the links and firewalls between the two zones", "paths within one of the zones fail"},
		{infer.ZonePodPair, "ZoneOverlayFault", "firewalls between the zones, for the port of the tunnel",
			"host to host between the zones fails as well"},
		{infer.KubeProxy, "KubeProxyFault", "kube-proxy on the node, or what stands in for it: its pod, log and rules",
			"the Service fails from other nodes as well"},
		{infer.HostRoute, "HostRouteFault", "the routes of the node's host network to the Services' addresses",
			"pods of the node do not reach Services either"},
		{infer.NodePort, "NodePortFault", "the node's firewall for the node port, and kube-proxy's node port addresses",
			"the node port fails on other nodes as well"},
		{infer.Endpoint, "EndpointFault", "the Service's EndpointSlices", "the pod fails by its own address as well"},
		{infer.Service, "ServiceFault", "the Service's EndpointSlices, selector and ports",
			"only some nodes fail: then it is kube-proxy there"},
		{infer.LoadBalancer, "LoadBalancerFault", "the load balancer: its controller, announcements and list of backends",
			"the node ports fail as well"},
		{infer.LoadBalancerWay, "LoadBalancerWayFault", "the node's route to the load balancer's address",
			"other nodes do not reach the load balancer either"},
		{infer.Ingress, "IngressFault", "the Ingress controller, its rules for this host and path, and its certificate",
			"the Service behind it fails as well"},
		{infer.IngressWay, "IngressWayFault", "the node's route to the Ingress controller",
			"other nodes do not reach the Ingress either"},
		{infer.DNSServer, "DNSServerFault", "the DNS server's pod: its log, readiness and node",
			"other pods on the same node fail as well"},
		{infer.DNSService, "DNSServiceFault", "the Service of DNS, its endpoints and the servers' upstream",
			"one DNS server fails by its own address"},
		{infer.DNSWay, "DNSWayFault", "network policies for port 53, and a DNS cache on the node",
			"other Services fail from this node as well"},
		{infer.APIServer, "APIServerFault", "the API server and the endpoints of the Service kubernetes in namespace default",
			"other Services fail from the same nodes as well"},
		{infer.APIServerWay, "APIServerWayFault", "network policies and firewalls between the node and the API server",
			"other Services fail from this node as well"},
		{infer.SecondInterface, "SecondInterfaceFault", "the further interface of the node's pod, its parent on the node, and Multus",
			"other pods' further interfaces fail as well"},
		{infer.SecondNetwork, "SecondNetworkFault", "the further network between the nodes: VLAN, switch and addresses",
			"only one node's further interface fails"},
	}
}

// partOf returns the row of a kind of component.
func partOf(p infer.Part) part {
	for _, row := range parts() {
		if row.part == p {
			return row
		}
	}
	return part{part: p, reason: "Fault"}
}

// RungTitle is a rung's name for people.
func RungTitle(r ladder.Rung) string {
	switch r {
	case ladder.Self:
		return "pod to its own address"
	case ladder.HostToOwnPod:
		return "host to its own pod"
	case ladder.PodToOwnHost:
		return "pod to its own host"
	case ladder.HostToHost:
		return "host to host"
	case ladder.PodToPod:
		return "pod to pod"
	case ladder.HostToPod:
		return "host to pod"
	case ladder.PodToHost:
		return "pod to host"
	case ladder.HostClusterIP:
		return "host to ClusterIP"
	case ladder.NodePort:
		return "node port"
	case ladder.LoadBalancer:
		return "load balancer"
	case ladder.DNSPod:
		return "DNS server"
	case ladder.DNSService:
		return "DNS Service"
	case ladder.APIServer:
		return "API server"
	case ladder.SecondInterface:
		return "second interface"
	}
	return string(r)
}
