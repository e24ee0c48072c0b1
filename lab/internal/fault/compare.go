package fault

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// compare returns the differences between two snapshots, each as a line for people. Namespaces that one of them does
// not have, links of pods that came or went, and what belongs to such links are left out: pods live and die on their
// own. So are the addresses of load balancers in pools, which come and go with Services.
func compare(before, after Snapshot, pools []netip.Prefix) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		now, ok := after[name]
		if !ok {
			continue
		}
		was := before[name]
		passing := passingLinks(was[Links], now[Links])
		for _, topic := range slices.Sorted(maps.Keys(union(was, now))) {
			for _, fact := range missing(was[topic], now[topic]) {
				if !passes(fact, passing, pools) {
					found = append(found, fmt.Sprintf("%s: %s: missing: %s", name, topic, fact))
				}
			}
			for _, fact := range missing(now[topic], was[topic]) {
				if !passes(fact, passing, pools) {
					found = append(found, fmt.Sprintf("%s: %s: new: %s", name, topic, fact))
				}
			}
		}
	}
	return found
}

func union(a, b Facts) map[Topic]bool {
	topics := map[Topic]bool{}
	for t := range a {
		topics[t] = true
	}
	for t := range b {
		topics[t] = true
	}
	return topics
}

// missing returns what is in want and not in has.
func missing(want, has []string) []string {
	var out []string
	for _, w := range want {
		if !slices.Contains(has, w) {
			out = append(out, w)
		}
	}
	return out
}

// passingLinks returns the links of pods that only one of the two lists has.
func passingLinks(a, b []string) map[string]bool {
	names := func(facts []string) map[string]bool {
		out := map[string]bool{}
		for _, f := range facts {
			name, _, _ := strings.Cut(f, " ")
			if strings.HasPrefix(name, podLink) {
				out[name] = true
			}
		}
		return out
	}
	passing := map[string]bool{}
	first, second := names(a), names(b)
	for name := range first {
		if !second[name] {
			passing[name] = true
		}
	}
	for name := range second {
		if !first[name] {
			passing[name] = true
		}
	}
	return passing
}

// passes reports whether a fact is about something that comes and goes without a fault.
func passes(fact string, passing map[string]bool, pools []netip.Prefix) bool {
	fields := strings.Fields(fact)
	for _, f := range fields {
		if passing[f] {
			return true
		}
	}
	if len(fields) == 0 {
		return false
	}
	address, err := netip.ParsePrefix(fields[0])
	if err != nil || !address.IsSingleIP() {
		return false
	}
	return slices.ContainsFunc(pools, func(p netip.Prefix) bool { return p.Contains(address.Addr()) })
}

// restore brings back what a namespace has lost on the way, such as the routes of a link that was down. What cannot be
// brought back shows in the comparison that follows.
func restore(ctx context.Context, n Namespace, was Facts) {
	if n.gone() || was == nil {
		return
	}
	now, err := n.facts(ctx)
	if err != nil {
		return
	}
	for _, fact := range missing(was[Settings], now[Settings]) {
		path, value, _ := strings.Cut(fact, " = ")
		setting := Setting{In: n, Path: path}
		_ = setting.write(value)
	}
	commands := restoring(was, now)
	// A route may need an address or another route that comes later in the list.
	for range 2 {
		for _, c := range commands {
			_, _ = n.run(ctx, c...)
		}
	}
}

// restoring returns the commands that bring back addresses, neighbours, forwarding entries and routes.
func restoring(was, now Facts) [][]string {
	var commands [][]string
	for _, fact := range missing(was[Addresses], now[Addresses]) {
		if !strings.HasPrefix(fact, "fe80:") {
			c := append([]string{"ip", "addr", "add"}, strings.Fields(fact)...)
			if strings.Contains(fact, ":") {
				c = append(c, "nodad")
			}
			commands = append(commands, c)
		}
	}
	for _, fact := range missing(was[Neighbours], now[Neighbours]) {
		if at, ok := strings.CutSuffix(fact, " PERMANENT"); ok {
			commands = append(commands, append([]string{"ip", "neigh", "replace"},
				append(strings.Fields(at), "nud", "permanent")...))
		}
	}
	for _, fact := range missing(was[Tunnels], now[Tunnels]) {
		commands = append(commands, append([]string{"bridge", "fdb", "replace"}, strings.Fields(fact)...))
	}
	for _, fact := range missing(was[Routes], now[Routes]) {
		fields := strings.Fields(fact)
		commands = append(commands, append([]string{"ip", fields[0], "route", "add"}, fields[1:]...))
	}
	return commands
}
