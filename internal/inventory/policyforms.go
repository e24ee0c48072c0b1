package inventory

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kdoctor.io/kdoctor/internal/topology"
)

// networkPolicy returns what a NetworkPolicy says.
func networkPolicy(object *networkingv1.NetworkPolicy) (topology.Policy, error) {
	p := topology.Policy{Kind: "NetworkPolicy", Namespace: object.Namespace, Name: object.Name,
		Tier: topology.NamespaceTier, Namespaces: sameNamespace(object.Namespace),
		IsolatesIngress: len(object.Spec.PolicyTypes) == 0,
		IsolatesEgress:  len(object.Spec.PolicyTypes) == 0 && len(object.Spec.Egress) > 0}
	for _, of := range object.Spec.PolicyTypes {
		p.IsolatesIngress = p.IsolatesIngress || of == networkingv1.PolicyTypeIngress
		p.IsolatesEgress = p.IsolatesEgress || of == networkingv1.PolicyTypeEgress
	}
	var err error
	if p.Pods, err = selectorText(&object.Spec.PodSelector); err != nil {
		return topology.Policy{}, err
	}
	for _, rule := range object.Spec.Ingress {
		if p.Ingress, err = appendRule(p.Ingress, object.Namespace, rule.From, rule.Ports); err != nil {
			return topology.Policy{}, err
		}
	}
	for _, rule := range object.Spec.Egress {
		if p.Egress, err = appendRule(p.Egress, object.Namespace, rule.To, rule.Ports); err != nil {
			return topology.Policy{}, err
		}
	}
	return p, nil
}

// sameNamespace is the selector of one namespace.
func sameNamespace(name string) string {
	return labels.Set{corev1.LabelMetadataName: name}.AsSelector().String()
}

// selectorText returns the selector as text.
func selectorText(s *metav1.LabelSelector) (string, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return "", fmt.Errorf("read a selector: %w", err)
	}
	return selector.String(), nil
}

// appendRule appends a rule of a NetworkPolicy in the namespace.
func appendRule(rules []topology.PolicyRule, namespace string, peers []networkingv1.NetworkPolicyPeer,
	ports []networkingv1.NetworkPolicyPort) ([]topology.PolicyRule, error) {
	rule := topology.PolicyRule{Action: topology.PolicyAdmits}
	for _, of := range peers {
		peer, err := networkPeer(namespace, of)
		if err != nil {
			return nil, err
		}
		rule.Peers = append(rule.Peers, peer)
	}
	for _, of := range ports {
		rule.Ports = append(rule.Ports, networkPort(of))
	}
	return append(rules, rule), nil
}

func networkPeer(namespace string, of networkingv1.NetworkPolicyPeer) (peer topology.PolicyPeer, err error) {
	if of.IPBlock != nil {
		return topology.PolicyPeer{Kind: topology.PeerNetworks, Networks: networksOf([]string{of.IPBlock.CIDR}),
			Except: networksOf(of.IPBlock.Except)}, nil
	}
	peer = topology.PolicyPeer{Kind: topology.PeerPods, Namespaces: sameNamespace(namespace)}
	if of.NamespaceSelector != nil {
		if peer.Namespaces, err = selectorText(of.NamespaceSelector); err != nil {
			return peer, err
		}
	}
	if of.PodSelector != nil {
		peer.Pods, err = selectorText(of.PodSelector)
	}
	return peer, err
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
