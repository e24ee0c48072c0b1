package target

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/topology"
)

// maxNamed is the number of names or addresses that a reason lists.
const maxNamed = 8

// Lacks returns the reason for a node or pod without an address of the family that can be a target, and what its
// addresses are: "node n1 has no IPv4 address that other nodes can reach: 127.0.0.1 is a loopback address".
func Lacks(who string, family topology.Family, what string, addresses []netip.Addr) string {
	reason := fmt.Sprintf("%s has no %s %s", who, family, what)
	instead := Instead(family, addresses)
	if len(instead) == 0 {
		return reason
	}
	return reason + " that other nodes can reach: " + strings.Join(instead, ", ")
}

// Instead returns one clause for each of the first addresses of the family that no other node can reach: what it is.
func Instead(family topology.Family, addresses []netip.Addr) []string {
	var clauses []string
	for _, a := range addresses {
		if kind := topology.Unreachable(a); a.IsValid() && topology.FamilyOf(a) == family && kind != "" &&
			len(clauses) < maxNamed {
			clauses = append(clauses, fmt.Sprintf("%s is %s", a, kind))
		}
	}
	return clauses
}

// Unreachable returns what the entry is, as a clause, when it leads to the asker itself or nowhere; it is empty for any
// other entry.
func Unreachable(e topology.Entry) string {
	if e.Hostname != "" {
		if kind := topology.UnreachableName(e.Hostname); kind != "" {
			return fmt.Sprintf("%s is %s", e.Hostname, kind)
		}
		return ""
	}
	if kind := topology.Unreachable(e.Address); kind != "" {
		return fmt.Sprintf("%s is %s", e.Address, kind)
	}
	return ""
}

// List returns the names as in a sentence: "a", "a and b", "a, b and c", or ending in "and 4 others".
func List(names []string) string {
	rest := len(names) - maxNamed
	switch {
	case len(names) == 0:
		return ""
	case len(names) == 1:
		return names[0]
	case rest > 1:
		return fmt.Sprintf("%s and %d others", strings.Join(names[:maxNamed], ", "), rest)
	case rest == 1:
		return strings.Join(names[:maxNamed], ", ") + " and 1 other"
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Offer is a target and who offers it, such as "node n1".
type Offer struct {
	Target
	By string
}

// Distinct returns each target once. Several offers of one name also become a gap, with the reason that shared returns:
// two ways to one address would be counted together and hide each other. When the offers do not even agree on the node
// behind the target, nobody knows who ought to answer, and the target is left out.
func Distinct(offers []Offer, shared func(t Target, by []string) string) (targets []Target, gaps []Gap) {
	type claim struct {
		first    int
		by       []string
		disagree bool
	}
	claims := make(map[string]*claim, len(offers))
	for i, o := range offers {
		c, ok := claims[o.ID]
		if !ok {
			claims[o.ID] = &claim{first: i, by: []string{o.By}}
			continue
		}
		c.disagree = c.disagree || offers[c.first].OnlyNode != o.OnlyNode
		if !slices.Contains(c.by, o.By) {
			c.by = append(c.by, o.By)
		}
	}
	for i, o := range offers {
		c := claims[o.ID]
		if c.first != i {
			continue
		}
		if len(c.by) > 1 || c.disagree {
			gaps = appendNew(gaps, Gap{Kind: o.Kind, Family: o.Family, Reason: shared(o.Target, c.by)})
		}
		if !c.disagree {
			targets = append(targets, o.Target)
		}
	}
	return targets, gaps
}

func appendNew(gaps []Gap, g Gap) []Gap {
	if slices.Contains(gaps, g) {
		return gaps
	}
	return append(gaps, g)
}
