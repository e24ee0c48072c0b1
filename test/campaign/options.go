package main

import (
	"flag"
	"fmt"
	"strings"
)

// options are the flags.
type options struct {
	build, chart, version, name, results string
	recordings                           string
	nodes, repeat, healthy               int
	overlay, proxy                       string
	hosts, quick, keep, pairs, matrix    bool
	disturb                              int
	disturbance                          string
	faults, target                       string
	seconds                              int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	flags.StringVar(&o.build, "build", ".build", "folder with bin/ and images/")
	flags.StringVar(&o.chart, "chart", "charts/kdoctor", "the chart")
	flags.StringVar(&o.version, "version", "0.1.0", "tag of the images")
	flags.StringVar(&o.name, "name", "campaign", "name of the lab")
	flags.StringVar(&o.results, "results", "", "folder for the raw results; empty writes none")
	flags.StringVar(&o.recordings, "recordings", "", "folder for what the findings of each round are made from; empty "+
		"writes none")
	flags.IntVar(&o.nodes, "nodes", 3, "nodes of the cluster, 3 to 8")
	flags.IntVar(&o.repeat, "repeat", 1, "how often each fault is injected")
	flags.IntVar(&o.healthy, "healthy", 5, "rounds without a fault")
	flags.StringVar(&o.overlay, "overlay", "vxlan", "vxlan or none")
	flags.StringVar(&o.proxy, "proxy-mode", "nftables", "nftables or iptables")
	flags.BoolVar(&o.hosts, "hosts", true, "with agents in the nodes' host networks")
	flags.BoolVar(&o.quick, "quick", false, "twelve faults alone")
	flags.BoolVar(&o.pairs, "pairs", false, "two faults at once, on two nodes, after the single ones")
	flags.IntVar(&o.disturb, "disturb", 0, "rounds during which something happens that breaks nothing")
	flags.StringVar(&o.disturbance, "disturbance", "", "what happens then, such as \"agents are replaced\"; empty is "+
		"everything in turn")
	flags.BoolVar(&o.matrix, "matrix", false, "clusters of 3, 4 and 8 nodes, with and without an overlay, with nftables "+
		"and iptables, with and without agents in host networks")
	flags.BoolVar(&o.keep, "keep", false, "leave the cluster up, or use one that is up")
	flags.StringVar(&o.faults, "faults", "", "names of faults, with commas; empty is all")
	flags.StringVar(&o.target, "target", "all", "what the task asks for: all, default for pods, ClusterIP and node ports, "+
		"or service for ClusterIP alone")
	flags.IntVar(&o.seconds, "seconds", 10, "how long the load of each round lasts, 5 to 60")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case targets()[o.target] == "":
		return options{}, fmt.Errorf("-target %s: all, default and service are possible", o.target)
	case o.nodes < 3 || o.nodes > 8:
		return options{}, fmt.Errorf("-nodes %d: 3 to 8 are possible", o.nodes)
	case o.seconds < 5 || o.seconds > 60:
		return options{}, fmt.Errorf("-seconds %d: 5 to 60 are possible", o.seconds)
	}
	return o, nil
}

// targets are what the task asks for.
func targets() map[string]string {
	return map[string]string{
		"all":     `{"ipv4": true, "ipv6": true, "multusInterface": true, "loadBalancer": true, "ingress": true}`,
		"default": `{"ipv4": true, "ipv6": true}`,
		"service": `{"ipv4": true, "ipv6": true, "endpoint": false, "nodePort": false}`,
	}
}

// quick are the faults of a short campaign, one of each kind of component.
func quick() string {
	return strings.Join([]string{"overlay-port-blocked", "path-mtu-small", "node-interface-down", "forwarding-off",
		"pod-link-down", "service-rules-missing", "endpoint-stale", "node-port-blocked", "policy-denies-ingress",
		"second-interface-down", "dns-server-drops", "agent-frozen"}, ",")
}

// matrix returns the options of each cluster of a whole campaign.
func matrix(o options) []options {
	var all []options
	for _, c := range []struct {
		nodes          int
		overlay, proxy string
		hosts          bool
	}{
		{3, "vxlan", "nftables", true}, {3, "vxlan", "nftables", false}, {4, "vxlan", "iptables", true},
		{4, "none", "nftables", true}, {8, "vxlan", "nftables", true},
	} {
		each := o
		each.matrix, each.keep = false, false
		each.nodes, each.overlay, each.proxy, each.hosts = c.nodes, c.overlay, c.proxy, c.hosts
		all = append(all, each)
	}
	return all
}
