// Package ingress derives targets from the addresses and rules of the agents' Ingresses.
package ingress

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target for each pair of a rule that leads to the agents and an entry of the Ingress. The URL has
// the rule's host, and connections go to the entry; without a host in the rule, the URL has the entry. An entry that is
// a name counts for both families, because only a resolver knows more.
//
// There is a Gap for an Ingress without such a rule or without an entry of the family, for a rule that cannot be
// probed, for an entry that agents cannot reach, and for a URL of several rules.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var offers []target.Offer
	var gaps []target.Gap
	missing := func(format string, args ...any) {
		gaps = append(gaps, target.Gap{Kind: target.Ingress, Family: q.Family, Reason: fmt.Sprintf(format, args...)})
	}
	for _, ingress := range q.Snapshot.Ingresses {
		name := ingress.Namespace + "/" + ingress.Name
		entries := of(q.Family, ingress.Entries)
		for _, entry := range entries {
			if clause := target.Unreachable(entry); clause != "" {
				missing("Ingress %s has an address that agents cannot reach: %s", name, clause)
			}
		}
		switch {
		case len(ingress.Rules) == 0:
			missing("Ingress %s has no rule that leads to the agents", name)
			continue
		case len(entries) == 0:
			missing("Ingress %s has no %s address in status.loadBalancer.ingress", name, q.Family)
			continue
		}
		for _, rule := range ingress.Rules {
			if rule.Unusable != "" {
				missing("Ingress %s: %s", name, rule.Unusable)
				continue
			}
			for _, entry := range entries {
				if target.Unreachable(entry) == "" {
					offers = append(offers,
						target.Offer{By: fmt.Sprintf("%s%s of Ingress %s", rule.Host, rule.Path, name),
							Target: targetOf(q.Family, rule, entry, len(ingress.Entries) > 1)})
				}
			}
		}
	}
	switch why := q.Snapshot.NoIngress; {
	case len(q.Snapshot.Ingresses) > 0:
	case why != "":
		missing("the agents have no Ingress: %s", why)
	default:
		missing("the agents have no Ingress")
	}
	targets, shared := target.Distinct(offers, func(t target.Target, by []string) string {
		return fmt.Sprintf("the rules %s lead to the same URL %s, so nobody can tell which of them answers there",
			target.List(by), t.Address)
	})
	return targets, append(gaps, shared...)
}

// of returns the entries without the addresses of the other family.
func of(family topology.Family, entries []topology.Entry) []topology.Entry {
	var found []topology.Entry
	for _, entry := range entries {
		if entry.Hostname != "" || (entry.Address.IsValid() && topology.FamilyOf(entry.Address) == family) {
			found = append(found, entry)
		}
	}
	return found
}

// targetOf returns the target that leads through the entry to the rule. several reports that the Ingress has other
// entries, of either family.
func targetOf(family topology.Family, rule topology.Rule, entry topology.Entry, several bool) target.Target {
	t := target.Target{Kind: target.Ingress, Family: family, Protocol: target.HTTP, Answer: target.Backends,
		Trust: rule.Trust}
	port := "80"
	if rule.TLS {
		t.Protocol, port = target.HTTPS, "443"
	}
	scheme := "http"
	if rule.TLS {
		scheme = "https"
	}
	host := literal(entry)
	if rule.Host != "" {
		t.Dial, host = host+":"+port, concrete(rule.Host)
	}
	t.Address = scheme + "://" + host + escaped(rule.Path)
	t.ID = "AgentIngress_" + t.Address
	if t.Dial != "" && several {
		t.ID += "_" + t.Dial
	}
	if entry.Hostname != "" && family == topology.IPv6 {
		// The target for IPv4 has the same name.
		t.ID += "_" + target.Short(family)
	}
	return t
}

// literal returns the entry as a URL has it, and as it stands before a port.
func literal(entry topology.Entry) string {
	if entry.Hostname != "" {
		return entry.Hostname
	}
	return bracketed(entry.Address)
}

func bracketed(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return "[" + a.String() + "]"
}

// concrete returns a host that the rule's host matches: "*" at its front stands for one label.
func concrete(host string) string {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		return "kdoctor." + rest
	}
	return host
}

// escaped returns the path as a URL has it. A path that is not valid in a URL, such as a pattern of an implementation's
// own, is escaped.
func escaped(path string) string {
	if u, err := url.Parse("http://host" + path); err == nil && u.Host == "host" && u.EscapedPath() == path {
		return path
	}
	return (&url.URL{Path: path}).EscapedPath()
}
