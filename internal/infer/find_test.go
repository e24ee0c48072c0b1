package infer_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// cluster returns a cluster of n nodes in two zones, with a DNS server on each of the first two.
func cluster(n int, hosts bool) topology.Snapshot {
	addresses := func(format4, format6 string, i int) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(fmt.Sprintf(format4, i/250, i%250+1)),
			netip.MustParseAddr(fmt.Sprintf(format6, i+1))}
	}
	s := topology.Snapshot{APIServer: netip.MustParseAddrPort("10.96.0.1:443")}
	for i := range n {
		node := fmt.Sprintf("n%d", i)
		s.Nodes = append(s.Nodes, topology.Node{Name: node, Zone: fmt.Sprintf("z%d", i%2),
			Addresses: addresses("192.168.%d.%d", "fd00::1:%x", i)})
		s.Agents = append(s.Agents, topology.Agent{Pod: "agent-" + node, Node: node, HTTPPort: 80,
			Addresses: addresses("10.0.%d.%d", "fd00::2:%x", i),
			Interfaces: []topology.Interface{{Network: "net", Name: "net1",
				Addresses: addresses("10.9.%d.%d", "fd00::3:%x", i)}}})
		if hosts {
			s.Hosts = append(s.Hosts, topology.Agent{Pod: "host-" + node, Node: node, HTTPPort: 81,
				Addresses: addresses("192.168.%d.%d", "fd00::1:%x", i)})
		}
		if i < 2 {
			s.DNS = append(s.DNS, topology.DNSServer{Pod: "dns-" + node, Node: node,
				Address: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.1.0.%d", i+1)), 53)})
		}
	}
	s.Services = []topology.Service{{Name: "agents", Port: 80, NodePort: 30080,
		ClusterIPs: addresses("10.96.%d.%d", "fd00::4:%x", 7)}}
	return s
}

// broken says how often, of n, a probe fails, and how.
type broken func(o ladder.Observation, n uint64) (uint64, ladder.Failure)

// seen returns what the probes of three passes see where something is broken.
func seen(s topology.Snapshot, is broken) infer.Input {
	in := infer.Input{Zones: map[string]string{}}
	for _, n := range s.Nodes {
		in.Zones[n.Name] = n.Zone
	}
	families := []topology.Family{topology.IPv4, topology.IPv6}
	for _, sender := range ladder.Plan(s, ladder.Options{Families: families}) {
		for _, p := range sender.Probes {
			o := p.Of
			o.Sent = uint64(3 * p.Spec.Count)
			failed, how := is(o, o.Sent)
			if how == silent {
				continue
			}
			o.Answered = o.Sent - failed
			if failed > 0 {
				o.Failures = map[ladder.Failure]uint64{how: failed}
			}
			in.Observations = append(in.Observations, o)
		}
	}
	return in
}

// silent stands for probes that nobody sends.
const silent ladder.Failure = "not sent"

func touches(o ladder.Observation, node string) bool { return (o.From == node) != (o.To == node) }

// overlay says whether the observation is carried by the pod network between nodes.
func overlay(o ladder.Observation) bool {
	return (o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod || o.Rung == ladder.DNSPod) && o.From != o.To
}

// away is how many of n requests to a Service are led to the backend on the node.
func away(o ladder.Observation, node string, n uint64) uint64 {
	if len(o.Backends) == 0 || !slices.Contains(o.Backends, node) {
		return 0
	}
	return (n + 1) / uint64(len(o.Backends))
}

// cut is a node whose pods reach, and are reached from, no other node.
func cut(node string) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case overlay(o) && touches(o, node):
			return n, ladder.NoAnswer
		case o.Rung == ladder.ClusterIP || o.Rung == ladder.HostClusterIP || o.Rung == ladder.DNSService:
			if o.From == node {
				return n - away(o, node, n), ladder.NoAnswer
			}
			return away(o, node, n), ladder.NoAnswer
		case o.Rung == ladder.NodePort && o.At == node:
			return n - away(o, node, n), ladder.NoAnswer
		case o.Rung == ladder.NodePort:
			return away(o, node, n), ladder.NoAnswer
		}
		return 0, ""
	}
}

func dead(node string) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case o.From == node && slices.Contains([]ladder.Rung{ladder.Self, ladder.HostToOwnPod, ladder.PodToOwnHost},
			o.Rung):
			return 0, ""
		case o.From == node && o.Rung == ladder.SecondInterface, o.To == node && o.Rung == ladder.SecondInterface:
			return 0, ""
		case o.From == node && len(o.Backends) > 0:
			return n - away(o, node, n), ladder.NoAnswer
		case o.From == node && o.To == node:
			return 0, ""
		case o.From == node, o.To == node, o.At == node:
			return n, ladder.NoAnswer
		}
		return away(o, node, n), ladder.NoAnswer
	}
}

func TestOneFaultIsFoundWithItsComponentAndPlace(t *testing.T) {
	only := func(part infer.Part, node string) infer.Component { return infer.Component{Part: part, Node: node} }
	rung := func(how ladder.Failure, fails func(o ladder.Observation) bool) broken {
		return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if fails(o) {
				return n, how
			}
			return 0, ""
		}
	}
	for _, c := range []struct {
		name string
		is   broken
		want infer.Component
		// aspect is the aspect that is found.
		aspect infer.Aspect
	}{
		{"overlay of one node", cut("n1"), only(infer.Overlay, "n1"), infer.Aspect{}},
		{"network of one node", dead("n1"), only(infer.NodeNetwork, "n1"), infer.Aspect{}},
		{"large packets of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.Large && touches(o, "n2") && o.Rung != ladder.HostToOwnPod
		}), only(infer.NodeNetwork, "n2"), infer.Aspect{Large: true}},
		{"kube-proxy of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.From == "n0" && (o.Rung == ladder.ClusterIP || o.Rung == ladder.HostClusterIP ||
				o.Rung == ladder.DNSService || o.Rung == ladder.APIServer) || o.At == "n0"
		}), only(infer.KubeProxy, "n0"), infer.Aspect{}},
		{"node port of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.At == "n0" && o.From != "n0"
		}), only(infer.NodePort, "n0"), infer.Aspect{}},
		{"IPv6 forwarding of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.Family == topology.IPv6 && (o.Rung == ladder.PodToPod && touches(o, "n1") ||
				o.Rung == ladder.PodToHost && o.From == "n1" || o.Rung == ladder.HostToPod && o.To == "n1")
		}), only(infer.Forwarding, "n1"), infer.Aspect{Family: "IPv6"}},
		{"policy into one pod", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.To == "n1" && (o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod)
		}), only(infer.PolicyIn, "n1"), infer.Aspect{}},
		{"policy out of one pod", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.From == "n1" && (o.Rung == ladder.PodToPod || o.Rung == ladder.PodToHost || o.Rung == ladder.DNSPod ||
				o.Rung == ladder.ClusterIP || o.Rung == ladder.DNSService || o.Rung == ladder.APIServer ||
				o.Rung == ladder.NodePort)
		}), only(infer.PolicyOut, "n1"), infer.Aspect{}},
		{"pod interface of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			pods := o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod || o.Rung == ladder.HostToOwnPod
			return pods && o.To == "n1" || o.From == "n1" && !slices.Contains([]ladder.Rung{ladder.Self, ladder.HostToHost,
				ladder.HostToPod, ladder.HostClusterIP, ladder.SecondInterface}, o.Rung)
		}), only(infer.PodNetwork, "n1"), infer.Aspect{}},
		{"overlay between two nodes", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return overlay(o) && touches(o, "n1") && touches(o, "n2")
		}), infer.Component{Part: infer.PodPair, Node: "n1", Peer: "n2"}, infer.Aspect{}},
		{"one DNS server", func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			switch {
			case o.Rung == ladder.DNSPod && o.To == "n1":
				return n, ladder.NoAnswer
			case o.Rung == ladder.DNSService:
				return n / 2, ladder.NoAnswer
			}
			return 0, ""
		}, infer.Component{Part: infer.DNSServer, Node: "n1", Service: "dns-n1"}, infer.Aspect{}},
		{"second interface of one node", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.Rung == ladder.SecondInterface && touches(o, "n2")
		}), only(infer.SecondInterface, "n2"), infer.Aspect{}},
		{"frozen agent", func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			switch {
			case o.From == "n1" && !slices.Contains([]ladder.Rung{ladder.HostToHost, ladder.HostToOwnPod, ladder.HostToPod,
				ladder.HostClusterIP}, o.Rung):
				return 0, silent
			case o.To == "n1" && o.Method == ladder.HTTP:
				return n, ladder.NoReply
			case o.To == "n1" && slices.Contains([]ladder.Rung{ladder.PodToPod, ladder.HostToPod, ladder.HostToOwnPod,
				ladder.SecondInterface}, o.Rung):
				return n, ladder.NoAnswer
			}
			return 0, ""
		}, only(infer.Agent, "n1"), infer.Aspect{}},
		{"firewall for the probe port", rung(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.To == "n1" && (o.Rung == ladder.HostToHost ||
				o.Rung == ladder.PodToHost) || o.From == "n1" && o.Rung == ladder.PodToOwnHost
		}), only(infer.ProbePort, "n1"), infer.Aspect{}},
	} {
		for _, nodes := range []int{3, 4, 8} {
			t.Run(fmt.Sprintf("%s, %d nodes", c.name, nodes), func(t *testing.T) {
				found := infer.Find(seen(cluster(nodes, true), c.is))
				if len(found) != 1 || found[0].Component != c.want || found[0].Aspect != c.aspect ||
					len(found[0].Group) > 0 {
					for _, f := range found {
						t.Logf("found %+v", f)
					}
					t.Errorf("want %+v with %+v alone", c.want, c.aspect)
				}
			})
		}
	}
}
