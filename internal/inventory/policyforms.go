package inventory

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kdoctor.io/kdoctor/internal/topology"
)

// networkPolicy returns what a NetworkPolicy says.
func (s *policyScope) networkPolicy(object *networkingv1.NetworkPolicy) (topology.Policy, error) {
	p := topology.Policy{Kind: "NetworkPolicy", Namespace: object.Namespace, Name: object.Name,
		Tier: topology.NamespaceTier, IsolatesIngress: len(object.Spec.PolicyTypes) == 0,
		IsolatesEgress: len(object.Spec.PolicyTypes) == 0 && len(object.Spec.Egress) > 0}
	for _, of := range object.Spec.PolicyTypes {
		p.IsolatesIngress = p.IsolatesIngress || of == networkingv1.PolicyTypeIngress
		p.IsolatesEgress = p.IsolatesEgress || of == networkingv1.PolicyTypeEgress
	}
	subject, err := s.pods(nil, &object.Spec.PodSelector)
	if err != nil {
		return topology.Policy{}, err
	}
	p.Groups = subject.Groups
	for _, rule := range object.Spec.Ingress {
		if p.Ingress, err = s.appendRule(p.Ingress, rule.From, rule.Ports); err != nil {
			return topology.Policy{}, err
		}
	}
	for _, rule := range object.Spec.Egress {
		if p.Egress, err = s.appendRule(p.Egress, rule.To, rule.Ports); err != nil {
			return topology.Policy{}, err
		}
	}
	return p, nil
}

// appendRule appends a rule of a NetworkPolicy in the agents' namespace.
func (s *policyScope) appendRule(rules []topology.PolicyRule, peers []networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort) ([]topology.PolicyRule, error) {
	rule := topology.PolicyRule{Action: topology.PolicyAdmits}
	for _, of := range peers {
		peer := topology.PolicyPeer{Kind: topology.PeerNetworks}
		if of.IPBlock != nil {
			peer.Networks, peer.Except = networksOf([]string{of.IPBlock.CIDR}), networksOf(of.IPBlock.Except)
		} else {
			var err error
			if peer, err = s.pods(of.NamespaceSelector, of.PodSelector); err != nil {
				return nil, err
			}
		}
		rule.Peers = append(rule.Peers, peer)
	}
	for _, of := range ports {
		rule.Ports = append(rule.Ports, networkPort(of))
	}
	return append(rules, rule), nil
}

func networkPort(of networkingv1.NetworkPolicyPort) topology.PolicyPort {
	port := topology.PolicyPort{Protocol: string(corev1.ProtocolTCP)}
	if of.Protocol != nil {
		port.Protocol = string(*of.Protocol)
	}
	switch {
	case of.Port == nil:
	case of.Port.Type == intstr.String:
		port.Name = of.Port.StrVal
	default:
		port.First, port.Last = portOf(of.Port.IntVal), portOf(of.Port.IntVal)
		if of.EndPort != nil {
			port.Last = portOf(*of.EndPort)
		}
	}
	return port
}

// networksOf returns the networks among the texts.
func networksOf(texts []string) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range texts {
		if network, err := netip.ParsePrefix(text); err == nil {
			networks = append(networks, network.Masked())
		}
	}
	return networks
}
