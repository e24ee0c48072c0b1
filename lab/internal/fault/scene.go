package fault

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
)

// Names of interfaces: a node's way to the fabric, its end of the overlay, the bridge in the fabric, and a pod's
// interfaces.
const (
	uplink       = "eth0"
	tunnel       = "vx0"
	fabricBridge = "br0"
	podUplink    = "eth0"
	podSecond    = "net1"
)

// Scene is a lab as a fault finds it, with what a user has named.
type Scene struct {
	Settings plan.Settings
	// On and Peer are the nodes that the fault is about; the zero value where none was named.
	On, Peer plan.Node
	// Port is the port of the probes between nodes' own networks, 1 to 65535.
	Port int
	// Cluster tells what runs in the lab.
	Cluster Cluster
}

// Cluster tells what runs in a lab, as far as faults are about it.
type Cluster interface {
	// Agents returns the pods behind the chosen Services on a node, sorted by name.
	Agents(ctx context.Context, node string) ([]Pod, error)
	// Services returns the chosen Services, sorted by name.
	Services(ctx context.Context) ([]Service, error)
	// DNS returns the pods behind the cluster's name server.
	DNS(ctx context.Context) ([]Pod, error)
	// Daemon returns the process of one of the lab's daemons.
	Daemon(name string) (process.Identity, error)
	// Under returns the processes that a daemon has started.
	Under(daemon process.Identity) ([]process.Identity, error)
}

// Pod is a pod that runs.
type Pod struct {
	Namespace, Name, Node string
	// Addresses are those of the first interface, Second those of the second one.
	Addresses, Second []netip.Addr
	// Link is the node's end of the pod's first interface.
	Link string
	// Holder keeps the pod's network namespace; Processes are those of the pod's containers.
	Holder    process.Identity
	Processes []process.Identity
	// Ports are those on which the pod answers requests that come through the chosen Services.
	Ports []int
	// Cgroups are the CPU cgroups of the pod's containers.
	Cgroups []Cgroup
}

// Cgroup is the folder of a cgroup that limits CPU.
type Cgroup struct {
	Path string
	// Unified reports that the cgroup is of version 2.
	Unified bool
}

// In is the pod's network namespace.
func (p Pod) In() Namespace { return Namespace{Pod: p.Namespace + "/" + p.Name, Holder: p.Holder} }

// Service is a Service with its addresses.
type Service struct {
	Namespace, Name string
	// ClusterIPs are the addresses inside the cluster, Balancers those of its load balancer.
	ClusterIPs, Balancers []netip.Addr
	// Ports are the ports of the Service.
	Ports []int
}

// on is the namespace of the node that the fault is about.
func (s *Scene) on() Namespace { return Namespace{Host: s.On.Namespace} }

// peer is the namespace of the node's peer.
func (s *Scene) peer() Namespace { return Namespace{Host: s.Peer.Namespace} }

// host is the namespace of the fabric, the load balancers or the Ingress controller.
func (s *Scene) host(name string) Namespace { return Namespace{Host: s.Settings.Namespace(name)} }

// addresses returns the addresses of a host on the fabric.
func addresses(h plan.Host) []netip.Addr {
	var out []netip.Addr
	for _, a := range h.Addresses {
		out = append(out, a.Addr())
	}
	return out
}

// other returns the host of that name that is not a node.
func (s *Scene) other(name string) plan.Host {
	for _, h := range s.Settings.Others() {
		if h.Name == name {
			return h
		}
	}
	return plan.Host{}
}

// zones returns the names of the nodes in the zones of the node and of its peer.
func (s *Scene) zones() (mine, theirs []string, err error) {
	if s.On.Zone == s.Peer.Zone {
		return nil, nil, fmt.Errorf("%s and %s are both in %s; name nodes of two zones", s.On.Name, s.Peer.Name, s.On.Zone)
	}
	for _, n := range s.Settings.ClusterNodes() {
		switch n.Zone {
		case s.On.Zone:
			mine = append(mine, n.Name)
		case s.Peer.Zone:
			theirs = append(theirs, n.Name)
		}
	}
	return mine, theirs, nil
}

// errNoAgent is returned for a node without an agent.
var errNoAgent = errors.New("none of the chosen Services has a pod there; see --namespace and --service")

// agents returns the agents on a node; at least one.
func (s *Scene) agents(ctx context.Context, node string) ([]Pod, error) {
	pods, err := s.Cluster.Agents(ctx, node)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("node %s: %w", node, errNoAgent)
	}
	return pods, nil
}

// services returns the chosen Services; at least one.
func (s *Scene) services(ctx context.Context) ([]Service, error) {
	found, err := s.Cluster.Services(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there is no Service of that name; see --namespace and --service")
	}
	return found, nil
}

// dns returns the DNS pods: those on the node if one was named, else all.
func (s *Scene) dns(ctx context.Context) ([]Pod, error) {
	pods, err := s.Cluster.DNS(ctx)
	if err != nil {
		return nil, err
	}
	if s.On.Name != "" {
		pods = slices.DeleteFunc(pods, func(p Pod) bool { return p.Node != s.On.Name })
	}
	if len(pods) == 0 {
		return nil, errors.New("no DNS pod runs there")
	}
	return pods, nil
}

// podAddresses returns the first interfaces' addresses of all pods.
func podAddresses(pods []Pod) []netip.Addr {
	var out []netip.Addr
	for _, p := range pods {
		out = append(out, p.Addresses...)
	}
	return out
}

// podLinks returns the nodes' ends of the pods' first interfaces.
func podLinks(pods []Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Link)
	}
	return out
}

// command returns a step that runs a program, and another one to undo it.
func command(in Namespace, do, undo []string) Step {
	return Step{Command: &Command{In: in, Do: do, Undo: undo}}
}

// words splits a command that has no spaces within its arguments.
func words(format string, args ...any) []string {
	return strings.Fields(fmt.Sprintf(format, args...))
}

// ipFor is iproute2's command for the family of an address.
func ipFor(a netip.Addr) string {
	if a.Is4() {
		return "ip -4"
	}
	return "ip -6"
}
