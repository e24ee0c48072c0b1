package inventory

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

// httpPort is the name of the echo responder's port, on the agent's container and on the agents' Services.
const httpPort = "http"

func serviceOf(s corev1.Service) topology.Service {
	service := topology.Service{
		Namespace: s.Namespace, Name: s.Name,
		ClusterIPs:   addressesOf(s.Spec.ClusterIPs),
		LoadBalancer: s.Spec.Type == corev1.ServiceTypeLoadBalancer,
	}
	if len(service.ClusterIPs) == 0 {
		service.ClusterIPs = addressesOf([]string{s.Spec.ClusterIP})
	}
	for _, in := range s.Status.LoadBalancer.Ingress {
		if e, ok := entryOf(in.IP, in.Hostname); ok {
			service.Ingress = append(service.Ingress, e)
		}
	}
	for n, port := range s.Spec.Ports {
		if n == 0 || port.Name == httpPort {
			service.Port, service.NodePort = portOf(port.Port), portOf(port.NodePort)
		}
		if port.Name == httpPort {
			break
		}
	}
	return service
}

func ingressOf(in networkingv1.Ingress) topology.Ingress {
	ingress := topology.Ingress{Namespace: in.Namespace, Name: in.Name, Path: "/", TLS: len(in.Spec.TLS) > 0}
	if len(in.Spec.Rules) > 0 {
		rule := in.Spec.Rules[0]
		ingress.Host = rule.Host
		if rule.HTTP != nil && len(rule.HTTP.Paths) > 0 && rule.HTTP.Paths[0].Path != "" {
			ingress.Path = rule.HTTP.Paths[0].Path
		}
	}
	for _, lb := range in.Status.LoadBalancer.Ingress {
		if e, ok := entryOf(lb.IP, lb.Hostname); ok {
			ingress.Entries = append(ingress.Entries, e)
		}
	}
	return ingress
}

// entryOf prefers the address: an implementation that gives both means one and the same way in.
func entryOf(ip, hostname string) (topology.Entry, bool) {
	if address, ok := addressOf(ip); ok {
		return topology.Entry{Address: address}, true
	}
	return topology.Entry{Hostname: hostname}, hostname != ""
}

// addressesOf leaves out what is no address, such as the "None" of a headless Service.
func addressesOf(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		if address, ok := addressOf(text); ok {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func addressOf(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, false
	}
	return address.Unmap(), true
}

// portOf is 0 for what is no port.
func portOf(number int32) uint16 {
	if number < 1 || number > 65535 {
		return 0
	}
	return uint16(number)
}
