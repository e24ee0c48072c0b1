package diagnose

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// nodePortAddresses finds further addresses of nodes at which no node port answers, while node ports answer at the
// primary addresses of the same nodes. Then nothing is broken: Service proxies are just set up not to answer there.
func nodePortAddresses(f facts) []Finding {
	primary := map[nodeFamily]portCounts{}
	further := map[string]*furtherTarget{}
	for _, a := range f.round.Agents {
		if f.changed[a.Pod] {
			continue
		}
		for i := range a.Paths {
			p := &a.Paths[i]
			if p.Target.Kind != target.NodePort {
				continue
			}
			if !p.Target.Further {
				at := nodeFamily{p.Target.AtNode, p.Target.Family}
				primary[at] = primary[at].with(p)
				continue
			}
			if further[p.Target.ID] == nil {
				further[p.Target.ID] = &furtherTarget{target: &p.Target}
			}
			further[p.Target.ID].portCounts = further[p.Target.ID].with(p)
		}
	}
	var closed []*furtherTarget
	open := 0
	for _, id := range slices.Sorted(maps.Keys(further)) {
		d := further[id]
		at := primary[nodeFamily{d.target.AtNode, d.target.Family}]
		switch {
		case d.ok > 0:
			open++
		case d.closed > 0 && d.closed == d.tried && at.tried > 0 && 2*at.ok >= at.tried:
			closed = append(closed, d)
		}
	}
	if len(closed) == 0 {
		return nil
	}
	return []Finding{closedFinding(closed, open)}
}

type nodeFamily struct {
	node   string
	family topology.Family
}

// portCounts counts requests to node ports: requests that are evidence about the other side, requests that succeeded,
// and requests that were refused or dropped. agents is how many agents asked.
type portCounts struct {
	tried, ok, closed, refused uint64
	agents                     int
}

// furtherTarget is one target at a further address.
type furtherTarget struct {
	portCounts
	target *target.Target
}

func (d portCounts) with(p *report.Path) portCounts {
	clear := p.WithoutExcused()
	made := tried(&clear)
	if made == 0 {
		return d
	}
	d.tried, d.ok, d.agents = d.tried+made, d.ok+clear.OK, d.agents+1
	for _, f := range clear.Failures {
		if f.Phase != probe.Connect {
			continue
		}
		switch f.Outcome {
		case probe.Refused:
			d.refused += f.Count
			d.closed += f.Count
		case probe.Timeout, probe.Unreachable:
			d.closed += f.Count
		default:
		}
	}
	return d
}

// address returns the target's address without the port.
func (d furtherTarget) address() string {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(d.target.Address, "http://"))
	if err != nil {
		return d.target.ID
	}
	return host
}

// closedFinding says what the closed addresses have in common. open is how many other targets at further addresses
// answer.
func closedFinding(closed []*furtherTarget, open int) Finding {
	var addresses, lines []string
	var external bool
	agents := 0
	for _, d := range closed {
		place := d.address()
		if d.target.AtNode != "" {
			place += " of node " + d.target.AtNode
		}
		addresses = append(addresses, place)
		external, agents = external || d.target.External, max(agents, d.agents)
		if len(lines) < mostNamed {
			lines = append(lines,
				fmt.Sprintf("%s: none of %s from %s succeeded; %d were refused, %d had no answer", d.target.ID,
					plural(d.tried, "request"), plural(d.agents, "agent"), d.refused, d.tried-d.refused))
		}
	}
	addresses = slices.Compact(addresses)
	lines = append(lines, "the primary addresses of the same nodes answer")
	found := Finding{Component: ServicePath, Where: firstNames(addresses), Confidence: High}
	if open > 0 {
		lines = append(lines, plural(open, "other target")+" at further addresses answered")
	}
	if open > 0 || agents < 2 {
		found.Confidence = Medium
	}
	also := ""
	if external {
		found.Component, found.Confidence = Unclear, lower(found.Confidence)
		also = ", or whether a firewall keeps requests from external addresses"
	}
	found.Evidence = lines
	found.Message = fmt.Sprintf("NodePort: %s did not answer, while the primary addresses of the same nodes did: %s; "+
		"look whether kube-proxy's "+
		"nodePortAddresses leaves them out, as it does by default with nftables%s, or probe primary addresses alone "+
		"(spec.target.nodePortAddresses: Primary)", plural(len(addresses), "further node address"),
		firstNames(addresses),
		also)
	return found
}
