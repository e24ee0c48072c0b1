package diagnose_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	differ "github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// nodeAddress is a node port at one address of a node.
type nodeAddress struct {
	node              int
	host              string
	further, external bool
	failure           report.Failure
	ok                uint64
	// more comes before the failure.
	more report.Failure
	port string
}

// addressed returns a round in which the given number of agents ask for node ports at the addresses.
func addressed(agents int, addresses ...nodeAddress) report.Round {
	var r report.Round
	for i := range agents {
		a := report.AgentReport{Pod: name(i), Node: node(i)}
		r.Expected = append(r.Expected, report.Expected{Pod: a.Pod, Node: a.Node})
		for _, at := range addresses {
			port := cmp.Or(at.port, "30080")
			p := report.Path{Target: target.Target{ID: "AgentNodePortV4IP_" + at.host + "_" + port,
				Kind:   target.NodePort,
				Family: topology.IPv4,
				Answer: target.Backends, Address: "http://" + at.host + ":" + port, Further: at.further,
				External: at.external,
				AtNode:   node(at.node)},
				OK: at.ok, Sent: at.ok + at.failure.Count + at.more.Count}
			p.Failures = []report.Failure{at.more, at.failure}
			a.Paths = append(a.Paths, p)
		}
		r.Agents = append(r.Agents, a)
	}
	return r
}

func TestNodePortAddresses(t *testing.T) {
	refused := report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}
	with := func(f report.Failure, change func(*report.Failure)) report.Failure { change(&f); return f }
	primary := func(i int) nodeAddress { return nodeAddress{node: i, host: fmt.Sprintf("10.0.0.%d", i), ok: 10} }
	further := func(i int, f report.Failure) nodeAddress {
		return nodeAddress{node: i, host: fmt.Sprintf("10.1.0.%d", i), further: true, failure: f}
	}
	ok := func(a nodeAddress, ok uint64) nodeAddress { a.ok = ok; return a }
	more := func(a nodeAddress, outcome probe.Outcome, phase probe.Phase) nodeAddress {
		a.more = report.Failure{Outcome: outcome, Phase: phase, Count: 5}
		return a
	}
	port := func(a nodeAddress, port string) nodeAddress { a.port = port; return a }
	outside := func(a nodeAddress) nodeAddress { a.external = true; return a }
	timeout := with(refused, func(f *report.Failure) { f.Outcome = probe.Timeout })
	changed := addressed(2, primary(1), further(1, refused))
	changed.Churn = []report.Change{{Pod: name(0)}, {Pod: name(1)}}
	unnamed := addressed(2, primary(1), further(1, refused))
	for i := range unnamed.Agents {
		unnamed.Agents[i].Paths[1].Target.Address = ""
	}
	single := addressed(2, primary(1), further(1, refused))
	single.Churn = []report.Change{{Pod: name(0)}}
	odd := addressed(2, primary(1), further(1, refused), further(2, refused))
	odd.Agents[1].Paths[2].OK, odd.Agents[1].Paths[2].Sent = 1, 11
	two := "10.1.0.1 of node node-01, 10.1.0.2 of node node-02"
	cases := []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"all answer", addressed(2, primary(1), ok(further(1, report.Failure{}), 10)), nil},
		{"further ones are refused on both nodes",
			addressed(2, primary(1), primary(2), further(1, refused), further(2, refused)),
			[]string{"high NodePortAddresses at " + two}},
		{"further ones are dropped on both nodes",
			addressed(2, primary(1), primary(2), further(1, timeout), further(2, timeout)),
			[]string{"high NodePortAddresses at " + two}},
		{"one is rejected by something on the way",
			addressed(2, primary(1),
				further(1, with(refused, func(f *report.Failure) { f.Outcome = probe.Unreachable }))),
			[]string{"high NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"one agent alone sees it", addressed(1, primary(1), further(1, refused)),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"the further one of another node answers",
			addressed(2, primary(1), primary(2), further(1, refused), ok(further(2, report.Failure{}), 10)),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"external ones", addressed(2, primary(1), outside(further(1, timeout))),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"a further one answers one agent once", addressed(1, primary(1), ok(further(1, refused), 1)), nil},
		{"two ports at one further address",
			addressed(2, primary(1), further(1, refused), port(further(1, refused), "30081")),
			[]string{"high NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"an external one, and one that is not", addressed(2, primary(1), outside(further(1, refused)),
			nodeAddress{node: 1, host: "10.2.0.1", further: true, failure: refused}),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01, 10.2.0.1 of node node-01"}},
		{"some requests to a further one end later",
			addressed(2, primary(1), more(further(1, refused), probe.Reset, probe.FirstByte)), nil},
		{"some requests to a further one could not be sent",
			addressed(2, primary(1), more(further(1, refused), probe.NotSent, probe.NoPhase)),
			[]string{"high NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"a further one answers once", addressed(2, primary(1), ok(further(1, refused), 1)), nil},
		{"the primary one does not answer either",
			addressed(2, nodeAddress{node: 1, host: "10.0.0.1", failure: refused}, further(1, refused)), nil},
		{"the primary one answers half of the time",
			addressed(2, ok(nodeAddress{node: 1, host: "10.0.0.1", failure: refused}, 10), further(1, refused)),
			[]string{"high NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"the primary one answers less than that",
			addressed(2, ok(nodeAddress{node: 1, host: "10.0.0.1", failure: refused}, 9), further(1, refused)), nil},
		{"the primary one of another node answers", addressed(2, primary(2), further(1, refused)), nil},
		{"a primary one is refused", addressed(2, primary(2), nodeAddress{node: 1, host: "10.0.0.1", failure: refused}),
			nil},
		{"another port at the primary address is refused",
			addressed(2, primary(1), nodeAddress{node: 1, host: "10.0.0.3", failure: refused}), nil},
		{"a further one resets later",
			addressed(2, primary(1), further(1, with(refused, func(f *report.Failure) { f.Phase = probe.FirstByte }))),
			nil},
		{"a further one fails otherwise",
			addressed(2, primary(1), further(1, with(refused, func(f *report.Failure) { f.Outcome = probe.Reset }))),
			nil},
		{"nothing could be sent",
			addressed(2, primary(1), further(1, with(refused, func(f *report.Failure) { f.Outcome = probe.NotSent }))),
			nil},
		{"changes explain it",
			addressed(2, primary(1), further(1, with(refused, func(f *report.Failure) { f.Excused = 10 }))),
			nil},
		{"one agent was changed", single, []string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"one request to each address",
			addressed(2, ok(primary(1), 1), further(1, with(refused, func(f *report.Failure) { f.Count = 1 }))),
			[]string{"high NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"one request to each address from one agent",
			addressed(1, ok(primary(1), 1), further(1, with(refused, func(f *report.Failure) { f.Count = 1 }))),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"one further one answers one request of one agent",
			addressed(1, primary(1), further(1, refused), ok(further(2, report.Failure{}), 1)),
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"the further one of another node answers once in a while", odd,
			[]string{"medium NodePortAddresses at 10.1.0.1 of node node-01"}},
		{"nobody knows the address", unnamed,
			[]string{"high NodePortAddresses at AgentNodePortV4IP_10.1.0.1_30080 of " +
				"node node-01"}},
		{"the agents were changed", changed, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := differ.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, a := range c.round.Agents {
				slices.Reverse(a.Paths)
			}
			if diff := differ.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
		})
	}
}
