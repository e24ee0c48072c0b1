package cloud

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// plan is what a Service asks of its load balancer.
type plan struct {
	Service    string
	Families   []corev1.IPFamily
	Asked      netip.Addr
	Ports      []port
	Sources    []netip.Prefix
	HealthPort uint16
}

// planOf reads a Service, or says why the lab cannot provide what it asks for.
func planOf(svc *corev1.Service) (plan, error) {
	p := plan{Service: serviceName(svc), Families: svc.Spec.IPFamilies}
	if asked := svc.Spec.LoadBalancerIP; asked != "" {
		addr, err := netip.ParseAddr(asked)
		if err != nil {
			return plan{}, fmt.Errorf("loadBalancerIP: %w", err)
		}
		p.Asked = addr
		if !slices.Contains(p.Families, familyOf(addr)) {
			return plan{}, fmt.Errorf("loadBalancerIP %s is of a family that the Service does not have", addr)
		}
	}
	for _, sp := range svc.Spec.Ports {
		if sp.Protocol != corev1.ProtocolTCP {
			return plan{}, fmt.Errorf("port %d: the lab's load balancer forwards TCP only, not %s", sp.Port,
				sp.Protocol)
		}
		if sp.NodePort == 0 {
			return plan{}, fmt.Errorf("port %d has no node port; the lab's load balancer needs "+
				"allocateLoadBalancerNodePorts: true", sp.Port)
		}
		listen, listenErr := portNumber(sp.Port)
		node, nodeErr := portNumber(sp.NodePort)
		if err := errors.Join(listenErr, nodeErr); err != nil {
			return plan{}, err
		}
		p.Ports = append(p.Ports, port{Listen: listen, Node: node})
	}
	for _, source := range svc.Spec.LoadBalancerSourceRanges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(source))
		if err != nil {
			return plan{}, fmt.Errorf("loadBalancerSourceRanges: %w", err)
		}
		p.Sources = append(p.Sources, prefix.Masked())
	}
	if svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		// Zero is none.
		health, err := portNumber(svc.Spec.HealthCheckNodePort)
		if err != nil {
			return plan{}, fmt.Errorf("healthCheckNodePort: %w", err)
		}
		p.HealthPort = health
	}
	return p, nil
}

func portNumber(n int32) (uint16, error) {
	if n < 0 || n > math.MaxUint16 {
		return 0, fmt.Errorf("%d is not a port", n)
	}
	return uint16(n), nil
}

// frontendOf joins a plan with one address and the nodes that have an address of the same family.
func frontendOf(p plan, addr netip.Addr, nodes []*corev1.Node) frontend {
	f := frontend{Service: p.Service, Address: addr, Ports: p.Ports, Sources: p.Sources, HealthPort: p.HealthPort}
	for _, n := range nodes {
		if at, ok := internalIP(n, familyOf(addr)); ok {
			f.Nodes = append(f.Nodes, node{Name: n.Name, Address: at})
		}
	}
	slices.SortFunc(f.Nodes, func(a, b node) int { return cmp.Compare(a.Name, b.Name) })
	return f
}

func internalIP(n *corev1.Node, family corev1.IPFamily) (netip.Addr, bool) {
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if addr, err := netip.ParseAddr(a.Address); err == nil && familyOf(addr) == family {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// statusOf is the status for a Service with these addresses. Its mode Proxy keeps kube-proxy from answering for the
// address itself, so that connections from inside the cluster really pass through the load balancer.
func statusOf(addrs []netip.Addr) *corev1.LoadBalancerStatus {
	status := &corev1.LoadBalancerStatus{}
	for _, a := range addrs {
		mode := corev1.LoadBalancerIPModeProxy
		status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &mode})
	}
	return status
}

// addressesIn returns the addresses that a Service's status says it has.
func addressesIn(status corev1.LoadBalancerStatus) []netip.Addr {
	var addrs []netip.Addr
	for _, in := range status.Ingress {
		if addr, err := netip.ParseAddr(in.IP); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func familyOf(addr netip.Addr) corev1.IPFamily {
	if addr.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// serviceName names a Service in haproxy's configuration, which knows no slashes. A namespace has no dots, so the name
// is unique.
func serviceName(svc *corev1.Service) string { return svc.Namespace + "." + svc.Name }
