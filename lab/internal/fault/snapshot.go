package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Snapshot is what a lab's network namespaces are like, by their names.
type Snapshot map[string]Facts

// Facts are lines about one network namespace, by what they are about. The lines are sorted.
type Facts map[Topic][]string

// Topic is what lines of a snapshot are about.
type Topic string

// The topics.
const (
	Links      Topic = "links"
	Addresses  Topic = "addresses"
	Routes     Topic = "routes"
	Policies   Topic = "routing policies"
	Neighbours Topic = "neighbours"
	Tunnels    Topic = "forwarding entries"
	Queues     Topic = "queues"
	Tables     Topic = "tables of faults"
	Settings   Topic = "settings"
)

// source is a program whose output has one line for each fact.
type source struct {
	topic   Topic
	command []string
	// parse turns a line into a fact; empty is none.
	parse func(line string) string
}

func sources() []source {
	return []source{
		{Links, words("ip -o link show"), linkFact},
		{Addresses, words("ip -o addr show"), addressFact},
		{Routes, words("ip -4 route show table main"), routeFact("-4")},
		{Routes, words("ip -6 route show table main"), routeFact("-6")},
		{Policies, words("ip -4 rule show"), plainFact},
		{Policies, words("ip -6 rule show"), plainFact},
		{Neighbours, words("ip neigh show nud permanent"), plainFact},
		{Neighbours, words("ip -4 neigh show proxy"), plainFact},
		{Neighbours, words("ip -6 neigh show proxy"), plainFact},
		{Tunnels, words("bridge fdb show"), tunnelFact},
		{Queues, words("tc qdisc show"), queueFact},
		{Tables, words("nft list tables"), tableFact},
	}
}

// look takes a snapshot of the namespaces. Pods that have ended are left out.
func look(ctx context.Context, namespaces []Namespace) (Snapshot, error) {
	s := Snapshot{}
	for _, n := range namespaces {
		if n.gone() {
			continue
		}
		facts, err := n.facts(ctx)
		if err != nil && n.gone() {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", n, err)
		}
		s[n.String()] = facts
	}
	return s, nil
}

func (n Namespace) facts(ctx context.Context) (Facts, error) {
	facts := Facts{}
	for _, src := range sources() {
		out, err := n.run(ctx, src.command...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if fact := src.parse(strings.TrimSpace(line)); fact != "" {
				facts[src.topic] = append(facts[src.topic], fact)
			}
		}
	}
	legacy, err := n.legacyFacts(ctx)
	if err != nil {
		return nil, err
	}
	facts[Tables] = append(facts[Tables], legacy...)
	settings, err := n.settingFacts()
	if err != nil {
		return nil, err
	}
	facts[Settings] = settings
	for _, lines := range facts {
		slices.Sort(lines)
	}
	return facts, nil
}

// legacyFacts returns the rules of faults in tables of the old iptables. Looking would make the tables where there are
// none, so the kernel is asked first.
func (n Namespace) legacyFacts(ctx context.Context) ([]string, error) {
	var names string
	if err := n.inside(func() error {
		content, err := os.ReadFile("/proc/net/ip_tables_names")
		names = string(content)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("list the tables of iptables: %w", err)
	}
	if !strings.Contains(names, "filter") {
		return nil, nil
	}
	out, err := n.run(ctx, "iptables-legacy-save", "-t", "filter")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, tablePrefix) {
			found = append(found, "iptables-legacy "+strings.TrimSpace(line))
		}
	}
	return found, nil
}

// settingFacts returns the settings that faults change, and those that the kernel changes along with them. Links of
// pods are left out: they follow the others.
func (n Namespace) settingFacts() (facts []string, err error) {
	err = n.inside(func() error {
		for _, pattern := range []string{
			"ipv4/ip_forward", "ipv4/conf/*/rp_filter", "ipv4/conf/*/forwarding", "ipv4/conf/*/proxy_arp",
			"ipv4/conf/*/arp_ignore", "ipv6/conf/*/forwarding", "ipv6/conf/*/disable_ipv6", "ipv6/conf/*/accept_ra",
			"ipv6/conf/*/proxy_ndp",
		} {
			files, err := filepath.Glob(sysctl("%s", pattern))
			if err != nil {
				return err
			}
			for _, file := range files {
				if strings.Contains(file, "/"+podLink) {
					continue
				}
				content, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("read a setting: %w", err)
				}
				facts = append(facts, file+" = "+strings.TrimSpace(string(content)))
			}
		}
		return nil
	})
	return facts, err
}

// podLink begins the names of nodes' ends of pods' interfaces.
const podLink = "veth"

func plainFact(line string) string { return strings.Join(strings.Fields(line), " ") }

// linkFact reads a line of "ip -o link": name, whether the link is up, MTU and link address.
func linkFact(line string) string {
	fields := strings.Fields(line)
	const name, flags = 1, 2
	if len(fields) <= flags {
		return ""
	}
	link, _, _ := strings.Cut(strings.TrimSuffix(fields[name], ":"), "@")
	up := "down"
	if slices.Contains(strings.Split(strings.Trim(fields[flags], "<>"), ","), "UP") {
		up = "up"
	}
	fact := link + " " + up
	for i, f := range fields[:len(fields)-1] {
		if f == "mtu" || f == "state" || strings.HasPrefix(f, "link/") {
			fact += " " + f + " " + fields[i+1]
		}
	}
	return fact
}

// addressFact reads a line of "ip -o addr": the link and the address, and whether it can be used yet.
func addressFact(line string) string {
	fields := strings.Fields(line)
	const link, address = 1, 3
	if len(fields) <= address {
		return ""
	}
	fact := fields[address] + " dev " + fields[link]
	if slices.Contains(fields, "tentative") {
		fact += " tentative"
	}
	return fact
}

// routeFact reads a line of "ip route" and leaves out what tells of the state of a link or of a moment.
func routeFact(family string) func(string) string {
	return func(line string) string {
		var kept []string
		fields := strings.Fields(line)
		for i := 0; i < len(fields); i++ {
			switch fields[i] {
			case "linkdown", "dead":
			case "expires", "pref":
				i++
			default:
				kept = append(kept, fields[i])
			}
		}
		if len(kept) == 0 || strings.HasPrefix(kept[0], "ff00::") {
			return ""
		}
		return family + " " + strings.Join(kept, " ")
	}
}

// tunnelFact keeps what was written into an overlay's device.
func tunnelFact(line string) string {
	if !strings.Contains(line, " dst ") {
		return ""
	}
	return plainFact(line)
}

// queueFact reads kind and link of a queue; handles and counts are of the moment.
func queueFact(line string) string {
	fields := strings.Fields(line)
	const kind, dev = 1, 4
	if len(fields) <= dev {
		return ""
	}
	return fields[kind] + " dev " + fields[dev]
}

// tableFact keeps the tables of faults.
func tableFact(line string) string {
	if !strings.Contains(line, " "+tablePrefix) {
		return ""
	}
	return line
}
