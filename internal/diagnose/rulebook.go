package diagnose

import (
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// fit is whether a rule fits traffic. Where it cannot be told, nothing is denied for it.
type fit int

const (
	fitsNot fit = iota
	mayFit
	fits
)

// party is one end of a connection.
type party struct {
	// agent is the agent in whose pod the connection ends; nil for another end.
	agent *topology.Agent
	// group is that of the agent's pod; restricted says that policies reach the pod at all.
	group      int
	restricted bool
	// host says that the end is the host network of a node.
	host bool
	// addresses are the end's addresses; none where they are not known.
	addresses []netip.Addr
}

// flow is one connection, or datagrams and their answers.
type flow struct {
	from, to party
	// family is empty where it is not known.
	family topology.Family
	// protocol is TCP or UDP; empty for another one. port is 0 where it is not known.
	protocol string
	port     uint16
}

// denial says which objects deny a flow: ingress into the pod that is asked, or egress out of the one that asks.
type denial struct {
	ingress bool
	// objects are indexes of the rulebook's policies, ascending. One that denies, or all of those that admit only what
	// they name.
	objects []int
	// expressly says that a rule denies the flow; otherwise no rule admits it.
	expressly bool
}

// rulebook decides which flows policy objects deny.
type rulebook struct{ policies []topology.Policy }

// denies returns what denies the flow; ok is false where nothing does for certain.
func (b rulebook) denies(f flow) (d denial, ok bool) {
	if f.from.restricted {
		if d, ok = b.rule(f.from, f.to, f, false); ok {
			return d, true
		}
	}
	if f.to.restricted {
		return b.rule(f.to, f.from, f, true)
	}
	return denial{}, false
}

// rule returns what denies the flow between the subject, whose policies count, and the other end.
func (b rulebook) rule(subject, other party, f flow, ingress bool) (denial, bool) {
	var isolating []int
	admitted, passed := false, false
	for i := range b.policies {
		p := &b.policies[i]
		if p.Tier == topology.BaselineTier && len(isolating) > 0 {
			break
		}
		if p.Tier == topology.AdminTier && passed || !slices.Contains(p.Groups, subject.group) {
			continue
		}
		rules, isolates := p.Egress, p.IsolatesEgress
		if ingress {
			rules, isolates = p.Ingress, p.IsolatesIngress
		}
		if p.Tier == topology.NamespaceTier {
			if isolates {
				isolating = append(isolating, i)
				admitted = admitted || slices.ContainsFunc(rules,
					func(r topology.PolicyRule) bool { return fitsRule(&r, other, f) != fitsNot })
			}
			continue
		}
		switch decides(rules, other, f) {
		case topology.PolicyAdmits:
			return denial{}, false
		case topology.PolicyDenies:
			return denial{ingress: ingress, objects: []int{i}, expressly: true}, true
		case topology.PolicyPasses:
			passed = true
		}
	}
	return denial{ingress: ingress, objects: isolating}, len(isolating) > 0 && !admitted
}

// decides returns the action of the first rule that fits; empty if none does. Where it cannot be told whether a rule
// fits, one that denies does not.
func decides(rules []topology.PolicyRule, other party, f flow) topology.PolicyAction {
	for i := range rules {
		how := fitsRule(&rules[i], other, f)
		if how == fits || how == mayFit && rules[i].Action != topology.PolicyDenies {
			return rules[i].Action
		}
	}
	return ""
}

func fitsRule(r *topology.PolicyRule, other party, f flow) fit {
	peer, port := fits, fits
	if len(r.Peers) > 0 {
		peer = fitsNot
		for i := range r.Peers {
			peer = max(peer, fitsPeer(&r.Peers[i], other, f.family))
		}
	}
	if len(r.Ports) > 0 {
		port = fitsNot
		for _, p := range r.Ports {
			port = max(port, fitsPort(p, f))
		}
	}
	return min(peer, port)
}

func fitsPeer(p *topology.PolicyPeer, other party, family topology.Family) fit {
	switch p.Kind {
	case topology.PeerPods:
		switch {
		case other.restricted:
			return certainly(slices.Contains(p.Groups, other.group))
		case other.host || !p.Others:
			return fitsNot
		}
	case topology.PeerNodes:
		if other.restricted {
			return fitsNot
		}
	case topology.PeerNetworks:
		if len(other.addresses) == 0 {
			return mayFit
		}
		return certainly(slices.ContainsFunc(other.addresses, func(a netip.Addr) bool {
			within := func(n netip.Prefix) bool { return n.Contains(a) }
			return (family == "" || topology.FamilyOf(a) == family) && slices.ContainsFunc(p.Networks, within) &&
				!slices.ContainsFunc(p.Except, within)
		}))
	case topology.PeerUnknown:
	}
	return mayFit
}

func certainly(is bool) fit {
	if is {
		return fits
	}
	return fitsNot
}

// fitsPort says whether the port is what the flow asks. What policies do with protocols that have no ports differs from
// one implementation to the next.
func fitsPort(p topology.PolicyPort, f flow) fit {
	switch {
	case f.protocol == "":
		return mayFit
	case p.Protocol != "" && p.Protocol != f.protocol:
		return fitsNot
	case p.Name != "":
		return fitsName(p.Name, f)
	case p.First == 0 && p.Last == 0:
		return fits
	case f.port == 0:
		return mayFit
	}
	return certainly(p.First <= f.port && f.port <= p.Last)
}

// fitsName says whether the named port of the agent's container is what the flow asks. Agents' named ports are TCP.
func fitsName(name string, f flow) fit {
	if f.to.agent == nil {
		return mayFit
	}
	if f.protocol != "TCP" {
		return fitsNot
	}
	switch name {
	case "http":
		return certainly(f.port == f.to.agent.HTTPPort)
	case "control":
		return certainly(f.port == f.to.agent.ControlPort)
	}
	return fitsNot
}
