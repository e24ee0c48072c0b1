package inventory

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kdoctor.io/kdoctor/internal/topology"
)

// clusterPolicy is what this package reads of the three kinds of policies of the whole cluster. They differ in how they
// name ports, and in what they call an action.
type clusterPolicy struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Tier     string `json:"tier"`
		Priority int    `json:"priority"`
		Subject  struct {
			Namespaces *metav1.LabelSelector `json:"namespaces"`
			Pods       *namespacedPods       `json:"pods"`
		} `json:"subject"`
		Ingress []clusterRule `json:"ingress"`
		Egress  []clusterRule `json:"egress"`
	} `json:"spec"`
}

type namespacedPods struct {
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	PodSelector       metav1.LabelSelector `json:"podSelector"`
}

type clusterRule struct {
	Action string        `json:"action"`
	From   []clusterPeer `json:"from"`
	To     []clusterPeer `json:"to"`
	// Ports are of admin network policies, Protocols of cluster network policies.
	Ports     []adminPort       `json:"ports"`
	Protocols []clusterProtocol `json:"protocols"`
}

type clusterPeer struct {
	Namespaces *metav1.LabelSelector `json:"namespaces"`
	Pods       *namespacedPods       `json:"pods"`
	Nodes      *metav1.LabelSelector `json:"nodes"`
	Networks   []string              `json:"networks"`
}

type adminPort struct {
	PortNumber *struct {
		Protocol string `json:"protocol"`
		Port     int32  `json:"port"`
	} `json:"portNumber"`
	NamedPort string `json:"namedPort"`
	PortRange *struct {
		Protocol string `json:"protocol"`
		Start    int32  `json:"start"`
		End      int32  `json:"end"`
	} `json:"portRange"`
}

type clusterProtocol struct {
	TCP                  *destination `json:"tcp"`
	UDP                  *destination `json:"udp"`
	SCTP                 *destination `json:"sctp"`
	DestinationNamedPort string       `json:"destinationNamedPort"`
}

type destination struct {
	DestinationPort *struct {
		Number int32 `json:"number"`
		Range  *struct {
			Start int32 `json:"start"`
			End   int32 `json:"end"`
		} `json:"range"`
	} `json:"destinationPort"`
}

func (s *policyScope) clusterNetworkPolicy(object map[string]any) (topology.Policy, error) {
	p, read, err := s.clusterPolicy("ClusterNetworkPolicy", object)
	p.Tier = topology.AdminTier
	if read.Spec.Tier == "Baseline" {
		p.Tier = topology.BaselineTier
	}
	return p, err
}

func (s *policyScope) adminNetworkPolicy(object map[string]any) (topology.Policy, error) {
	p, _, err := s.clusterPolicy("AdminNetworkPolicy", object)
	p.Tier = topology.AdminTier
	return p, err
}

func (s *policyScope) baselineNetworkPolicy(object map[string]any) (topology.Policy, error) {
	p, _, err := s.clusterPolicy("BaselineAdminNetworkPolicy", object)
	p.Tier = topology.BaselineTier
	return p, err
}

// clusterPolicy returns what a policy of the whole cluster says, without its tier.
func (s *policyScope) clusterPolicy(kind string, object map[string]any) (topology.Policy, clusterPolicy, error) {
	var read clusterPolicy
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &read); err != nil {
		return topology.Policy{}, read, fmt.Errorf("read a %s: %w", kind, err)
	}
	p := topology.Policy{Kind: kind, Name: read.Name, Priority: read.Spec.Priority}
	subject, err := s.clusterPods(read.Spec.Subject.Namespaces, read.Spec.Subject.Pods)
	if err == nil && subject.Kind != topology.PeerPods {
		err = fmt.Errorf("read %s %s: it selects no pods", kind, read.Name)
	}
	if err != nil {
		return topology.Policy{}, read, err
	}
	p.Groups = subject.Groups
	if p.Ingress, err = s.clusterRules(read.Spec.Ingress); err != nil {
		return topology.Policy{}, read, err
	}
	p.Egress, err = s.clusterRules(read.Spec.Egress)
	return p, read, err
}

// clusterPods returns the pods that either of the two selects; a peer of an unknown kind where both are nil.
func (s *policyScope) clusterPods(namespaces *metav1.LabelSelector, pods *namespacedPods) (topology.PolicyPeer, error) {
	switch {
	case namespaces != nil:
		return s.pods(namespaces, nil)
	case pods != nil:
		return s.pods(&pods.NamespaceSelector, &pods.PodSelector)
	}
	return topology.PolicyPeer{}, nil
}

func (s *policyScope) clusterRules(all []clusterRule) ([]topology.PolicyRule, error) {
	var rules []topology.PolicyRule
	for _, of := range all {
		rule := topology.PolicyRule{Action: actionOf(of.Action)}
		for _, end := range slices.Concat(of.From, of.To) {
			peer, err := s.clusterPods(end.Namespaces, end.Pods)
			if err != nil {
				return nil, err
			}
			switch {
			case end.Nodes != nil:
				peer.Kind = topology.PeerNodes
			case len(end.Networks) > 0:
				peer.Kind, peer.Networks = topology.PeerNetworks, networksOf(end.Networks)
			}
			rule.Peers = append(rule.Peers, peer)
		}
		for _, port := range of.Ports {
			rule.Ports = append(rule.Ports, adminPorts(port))
		}
		for _, protocol := range of.Protocols {
			rule.Ports = append(rule.Ports, protocolPorts(protocol))
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func actionOf(word string) topology.PolicyAction {
	switch word {
	case "Deny":
		return topology.PolicyDenies
	case "Pass":
		return topology.PolicyPasses
	}
	return topology.PolicyAdmits
}

func adminPorts(of adminPort) topology.PolicyPort {
	switch {
	case of.PortNumber != nil:
		return ports(of.PortNumber.Protocol, of.PortNumber.Port, of.PortNumber.Port)
	case of.PortRange != nil:
		return ports(of.PortRange.Protocol, of.PortRange.Start, of.PortRange.End)
	}
	return topology.PolicyPort{Name: of.NamedPort}
}

// ports returns the ports of the protocol, TCP where it is not named.
func ports(protocol string, first, last int32) topology.PolicyPort {
	if protocol == "" {
		protocol = string(corev1.ProtocolTCP)
	}
	return topology.PolicyPort{Protocol: protocol, First: portOf(first), Last: portOf(last)}
}

func protocolPorts(of clusterProtocol) topology.PolicyPort {
	to, protocol := of.TCP, corev1.ProtocolTCP
	switch {
	case of.UDP != nil:
		to, protocol = of.UDP, corev1.ProtocolUDP
	case of.SCTP != nil:
		to, protocol = of.SCTP, corev1.ProtocolSCTP
	case of.TCP == nil:
		return topology.PolicyPort{Name: of.DestinationNamedPort}
	}
	port := topology.PolicyPort{Protocol: string(protocol)}
	switch d := to.DestinationPort; {
	case d == nil:
	case d.Range != nil:
		port.First, port.Last = portOf(d.Range.Start), portOf(d.Range.End)
	default:
		port.First, port.Last = portOf(d.Number), portOf(d.Number)
	}
	return port
}
