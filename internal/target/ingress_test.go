package target_test

import (
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/ingress"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestIngresses(t *testing.T) {
	four, six := topology.IPv4, topology.IPv6
	at := func(family topology.Family, id, url, dial string) target.Target {
		made := http(target.Ingress, family, id, url, "", "")
		made.Dial = dial
		return made
	}
	secure := func(made target.Target, trust string) target.Target {
		made.Protocol, made.Trust = target.HTTPS, trust
		return made
	}
	rules := func(all ...topology.Rule) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) { s.Ingresses[0].Rules = all }
	}
	through := func(entries []topology.Entry, all ...topology.Rule) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) { s.Ingresses[0].Rules, s.Ingresses[0].Entries = all, entries }
	}
	address := func(text string) topology.Entry { return topology.Entry{Address: netip.MustParseAddr(text)} }
	named := []topology.Entry{{Hostname: "lb.example"}}
	run(t, []testCase{
		{name: "an Ingress address is named by its URL", build: ingress.Targets, family: six,
			want: found{Targets: []target.Target{at(six, "AgentIngress_http://[fd98:18::3]/kdoctoragent",
				"http://[fd98:18::3]/kdoctoragent", "")}}},
		{name: "every address and every rule is a target", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3"), address("198.18.0.4")}, topology.Rule{Path: "/a"},
				topology.Rule{Path: "/b"}),
			want: found{Targets: []target.Target{
				at(four, "AgentIngress_http://198.18.0.3/a", "http://198.18.0.3/a", ""),
				at(four, "AgentIngress_http://198.18.0.4/a", "http://198.18.0.4/a", ""),
				at(four, "AgentIngress_http://198.18.0.3/b", "http://198.18.0.3/b", ""),
				at(four, "AgentIngress_http://198.18.0.4/b", "http://198.18.0.4/b", "")}}},
		{name: "a rule's host stands in the URL and the address is connected to", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3")}, topology.Rule{Host: "agents.example", Path: "/x"}),
			want: found{Targets: []target.Target{at(four, "AgentIngress_http://agents.example/x",
				"http://agents.example/x", "198.18.0.3:80")}}},
		{name: "entries that share a URL are told apart by where they lead", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3"), address("fd98:18::3"), {Hostname: "lb.example"}},
				topology.Rule{Host: "agents.example", Path: "/x"}),
			want: found{Targets: []target.Target{
				at(four, "AgentIngress_http://agents.example/x_198.18.0.3:80", "http://agents.example/x",
					"198.18.0.3:80"),
				at(four, "AgentIngress_http://agents.example/x_lb.example:80", "http://agents.example/x",
					"lb.example:80")}}},
		{name: "and so are those of the other family, under names of their own", build: ingress.Targets, family: six,
			change: through([]topology.Entry{address("198.18.0.3"), address("fd98:18::3"), {Hostname: "lb.example"}},
				topology.Rule{Host: "agents.example", Path: "/x"}),
			want: found{Targets: []target.Target{
				at(six, "AgentIngress_http://agents.example/x_[fd98:18::3]:80", "http://agents.example/x",
					"[fd98:18::3]:80"),
				at(six, "AgentIngress_http://agents.example/x_lb.example:80_V6", "http://agents.example/x",
					"lb.example:80")}}},
		{name: "a name stands in the URL where the rule has no host", build: ingress.Targets, family: four,
			change: through(named, topology.Rule{Path: "/x"}),
			want: found{Targets: []target.Target{at(four, "AgentIngress_http://lb.example/x", "http://lb.example/x",
				"")}}},
		{name: "and over IPv6 it has a name of its own", build: ingress.Targets, family: six,
			change: through(named, topology.Rule{Path: "/x"}),
			want: found{Targets: []target.Target{at(six, "AgentIngress_http://lb.example/x_V6", "http://lb.example/x",
				"")}}},
		{name: "a name is resolved for the rule's host", build: ingress.Targets, family: four,
			change: through(named, topology.Rule{Host: "agents.example", Path: "/x"}),
			want: found{Targets: []target.Target{at(four, "AgentIngress_http://agents.example/x",
				"http://agents.example/x", "lb.example:80")}}},
		{name: "TLS is spoken with the host and verified by the rule's authority", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3")},
				topology.Rule{Host: "agents.example", Path: "/x", TLS: true, Trust: "agents-tls"}),
			want: found{Targets: []target.Target{secure(at(four, "AgentIngress_https://agents.example/x",
				"https://agents.example/x", "198.18.0.3:443"), "agents-tls")}}},
		{name: "TLS without a host is spoken with the address and verified by the system's authorities",
			build: ingress.Targets, family: six,
			change: rules(topology.Rule{Path: "/x", TLS: true}),
			want: found{Targets: []target.Target{secure(at(six, "AgentIngress_https://[fd98:18::3]/x",
				"https://[fd98:18::3]/x", ""), "")}}},
		{name: "a wildcard is met by a host below it", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3")},
				topology.Rule{Host: "*.agents.example", Path: "/"}),
			want: found{Targets: []target.Target{at(four, "AgentIngress_http://kdoctor.agents.example/",
				"http://kdoctor.agents.example/", "198.18.0.3:80")}}},
		{name: "a path that is a pattern is escaped", build: ingress.Targets, family: four,
			change: through([]topology.Entry{address("198.18.0.3")}, topology.Rule{Path: "/x?y z"}),
			want: found{Targets: []target.Target{at(four, "AgentIngress_http://198.18.0.3/x%3Fy%20z",
				"http://198.18.0.3/x%3Fy%20z", "")}}},
		{name: "a rule that cannot be probed is a gap beside others", build: ingress.Targets, family: six,
			change: rules(topology.Rule{Host: "agents.example", Path: "/x", TLS: true,
				Unusable: "its certificate's Secret t does not exist"}, topology.Rule{Path: "/y"}),
			want: found{Targets: []target.Target{at(six, "AgentIngress_http://[fd98:18::3]/y", "http://[fd98:18::3]/y",
				"")},
				Gaps: gap(target.Ingress, six, "", "Ingress k/in: its certificate's Secret t does not exist")}},
		{name: "an Ingress without an address of the family is a gap", build: ingress.Targets, family: six,
			change: through([]topology.Entry{address("198.18.0.3")}, topology.Rule{Path: "/x"}),
			want: found{Gaps: gap(target.Ingress, six, "", "Ingress k/in has no IPv6 address in "+
				"status.loadBalancer.ingress")}},
		{name: "an Ingress that leads elsewhere is a gap", build: ingress.Targets, family: four, change: rules(),
			want: found{Gaps: gap(target.Ingress, four, "", "Ingress k/in has no rule that leads to the agents")}},
		{name: "no Ingress at all is a gap", build: ingress.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Ingresses = nil },
			want:   found{Gaps: gap(target.Ingress, four, "", "the agents have no Ingress")}},
	})
}
