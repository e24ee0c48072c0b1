package fault

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Families of nftables' tables.
const (
	inet   = "inet"
	netdev = "netdev"
	bridge = "bridge"
)

// chain is a base chain of a fault's table.
type chain struct {
	// hook is where packets come by, device the interface for hooks of the family netdev.
	hook, device string
	// kind is filter or nat; empty is filter. priority is a number or one of nftables' words; empty is filter.
	kind, priority string
	rules          []string
}

// table returns the step that makes a table with these chains.
func table(in Namespace, family, fault string, chains ...chain) Step {
	name := tableName(fault)
	return Step{Table: &Table{In: in, Family: family, Name: name, Text: render(family, name, chains)}}
}

func render(family, name string, chains []chain) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", family, name)
	for _, c := range chains {
		device, kind, priority := "", "filter", "filter"
		if c.device != "" {
			device = fmt.Sprintf(" device %q", c.device)
		}
		if c.kind != "" {
			kind = c.kind
		}
		if c.priority != "" {
			priority = c.priority
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype %s hook %s%s priority %s; policy accept;\n", c.hook, kind, c.hook,
			device, priority)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// drop counts what it drops, so that a look at the table shows whether the fault met any packet.
const drop = "counter drop"

// share matches a random part of all packets, in thousandths, 1 to 999.
func share(perMille int) string { return fmt.Sprintf("numgen random mod 1000 < %d", perMille) }

// from and to match packets of these addresses; there is one match for each family among them.
func from(addresses ...netip.Addr) []string { return addressed("saddr", addresses) }
func to(addresses ...netip.Addr) []string   { return addressed("daddr", addresses) }

func addressed(side string, addresses []netip.Addr) []string {
	var four, six []string
	for _, a := range addresses {
		if a.Is4() {
			four = append(four, a.String())
			continue
		}
		six = append(six, a.String())
	}
	return families(side, four, six)
}

// fromNet and toNet match packets of these subnets.
func fromNet(subnets ...netip.Prefix) []string { return subnetted("saddr", subnets) }
func toNet(subnets ...netip.Prefix) []string   { return subnetted("daddr", subnets) }

func subnetted(side string, subnets []netip.Prefix) []string {
	var four, six []string
	for _, p := range subnets {
		if p.Addr().Is4() {
			four = append(four, p.Masked().String())
			continue
		}
		six = append(six, p.Masked().String())
	}
	return families(side, four, six)
}

func families(side string, four, six []string) []string {
	var matches []string
	if len(four) > 0 {
		matches = append(matches, fmt.Sprintf("ip %s { %s }", side, strings.Join(four, ", ")))
	}
	if len(six) > 0 {
		matches = append(matches, fmt.Sprintf("ip6 %s { %s }", side, strings.Join(six, ", ")))
	}
	return matches
}

// each puts the words after every match.
func each(matches []string, words ...string) []string {
	rules := make([]string, 0, len(matches))
	for _, m := range matches {
		rules = append(rules, strings.Join(append([]string{m}, words...), " "))
	}
	return rules
}

// ports matches TCP and UDP packets to these ports.
func ports(numbers ...int) string {
	words := make([]string, 0, len(numbers))
	for _, n := range numbers {
		words = append(words, strconv.Itoa(n))
	}
	return fmt.Sprintf("meta l4proto { tcp, udp } th dport { %s }", strings.Join(words, ", "))
}

// nodePorts matches TCP and UDP packets to the range of node ports.
const nodePorts = "meta l4proto { tcp, udp } th dport 30000-32767"

// quoted writes interface names as a set.
func quoted(names []string) string {
	words := make([]string, 0, len(names))
	for _, n := range names {
		words = append(words, fmt.Sprintf("%q", n))
	}
	return "{ " + strings.Join(words, ", ") + " }"
}
