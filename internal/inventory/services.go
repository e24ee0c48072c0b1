package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"kdoctor.io/kdoctor/internal/topology"
)

// httpPort is the name of the echo responder's port, on the agent's container and on the agents' Services.
const httpPort = "http"

func serviceOf(s corev1.Service, pods []corev1.Pod) topology.Service {
	service := topology.Service{
		Namespace: s.Namespace, Name: s.Name,
		ClusterIPs:   addressesOf(s.Spec.ClusterIPs),
		LoadBalancer: s.Spec.Type == corev1.ServiceTypeLoadBalancer,
		InternalLocal: s.Spec.InternalTrafficPolicy != nil &&
			*s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		ExternalLocal: s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Uneven:        unevenWhy(s), NotReadyToo: s.Spec.PublishNotReadyAddresses,
		Unselected: unselected(s.Spec.Selector, pods),
	}
	if len(service.ClusterIPs) == 0 {
		service.ClusterIPs = addressesOf([]string{s.Spec.ClusterIP})
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		service.Headless = familiesOf(s.Spec.IPFamilies)
	}
	for _, in := range s.Status.LoadBalancer.Ingress {
		for _, entry := range entriesOf(in.IP, in.Hostname) {
			entry.Proxy = in.IPMode != nil && *in.IPMode == corev1.LoadBalancerIPModeProxy
			service.Ingress = append(service.Ingress, entry)
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

// unevenWhy returns why the Service's own spec does not lead all clients to all backends alike, as one clause; empty
// when nothing in it says so.
func unevenWhy(s corev1.Service) string {
	var clauses []string
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		clauses = append(clauses, "sessionAffinity is ClientIP")
	}
	if d := s.Spec.TrafficDistribution; d != nil && *d != "" {
		clauses = append(clauses, "trafficDistribution is "+*d)
	}
	// The second is the older name.
	for _, key := range []string{corev1.AnnotationTopologyMode, corev1.DeprecatedAnnotationTopologyAwareHints} {
		if value := s.Annotations[key]; value == "Auto" || value == "auto" {
			clauses = append(clauses, fmt.Sprintf("annotation %s is %s", key, value))
		}
	}
	return strings.Join(clauses, " and ")
}

// unselected returns the pods that the selector leaves out, sorted. A Service without a selector has endpoints that
// somebody else makes, and leaves out no pod.
func unselected(selector map[string]string, pods []corev1.Pod) []string {
	if len(selector) == 0 {
		return nil
	}
	var left []string
	chosen := labels.SelectorFromSet(selector)
	for _, pod := range pods {
		if !chosen.Matches(labels.Set(pod.Labels)) {
			left = append(left, pod.Name)
		}
	}
	slices.Sort(left)
	return left
}

// familiesOf returns the families that the API server gave to a headless Service, at least one.
func familiesOf(families []corev1.IPFamily) []topology.Family {
	var found []topology.Family
	for _, family := range families {
		switch family {
		case corev1.IPv4Protocol:
			found = append(found, topology.IPv4)
		case corev1.IPv6Protocol:
			found = append(found, topology.IPv6)
		case corev1.IPFamilyUnknown:
		}
	}
	return found
}

// entriesOf returns the address and the host name of one entry of a status: a client may use either, so both are ways
// in. Text that is neither is left out, because nobody could connect to it.
func entriesOf(ip, hostname string) []topology.Entry {
	var entries []topology.Entry
	address, ok := addressOf(ip)
	if ok {
		entries = append(entries, topology.Entry{Address: address})
	}
	if literal, isAddress := addressOf(hostname); isAddress {
		if literal != address {
			entries = append(entries, topology.Entry{Address: literal})
		}
	} else if len(validation.IsDNS1123Subdomain(hostname)) == 0 {
		entries = append(entries, topology.Entry{Hostname: hostname})
	}
	return entries
}

// addressesOf returns the addresses among the texts. Others, such as the "None" of a headless Service, are left out.
func addressesOf(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		if address, ok := addressOf(text); ok {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// addressOf parses an address and keeps it as it is, IPv4-mapped or not: the planner decides whether it can be a
// target.
func addressOf(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, false
	}
	return address, true
}

// portOf returns the port, 0 for a number that is no port.
func portOf(number int32) uint16 {
	if number < 1 || number > 65535 {
		return 0
	}
	return uint16(number)
}
