package infer_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// suspicion is a round up to its follow-up probes.
type suspicion struct {
	snapshot topology.Snapshot
	options  ladder.Options
	is       broken
	in       infer.Input
	possible []infer.Possible
	bounds   infer.Bounds
}

// suspected returns what two passes of the plan saw, and the probes that may follow. After the passes only agents that
// were not silent can be asked.
func suspected(s topology.Snapshot, is broken) *suspicion {
	r := &suspicion{snapshot: s, is: is, options: ladder.Options{Families: []topology.Family{topology.IPv4}},
		in:     infer.Input{Zones: map[string]string{}},
		bounds: infer.Bounds{Agents: 10, Probes: 20, Times: 3}}
	for _, n := range s.Nodes {
		r.in.Zones[n.Name] = n.Zone
	}
	type key struct {
		agent string
		rung  ladder.Rung
		ladder.Spec
	}
	sent, number := map[key]bool{}, map[string]int{}
	add := func(sender ladder.Sender, p ladder.Probe, seen int) {
		n, ok := number[sender.Agent.Pod]
		if !ok {
			n = len(number)
			number[sender.Agent.Pod] = n
		}
		r.possible = append(r.possible, infer.Possible{Of: &p.Of, Seen: seen, Agent: n})
	}
	for _, sender := range ladder.Plan(s, r.options) {
		for _, p := range sender.Probes {
			if o, ok := r.sent(p.Of, uint64(2*p.Spec.Count), 2); ok {
				sent[key{sender.Agent.Pod, p.Of.Rung, p.Spec}] = true
				add(sender, p, len(r.in.Observations))
				r.in.Observations = append(r.in.Observations, o)
			}
		}
	}
	faults := infer.Find(r.in)
	look := ladder.Look{Nodes: infer.Places(r.in, faults, 16)}
	look.Askers, look.Pods = infer.Unheard(r.in, faults, 200)
	for _, sender := range ladder.Further(s, r.options, look) {
		for _, p := range sender.Probes {
			if k := (key{sender.Agent.Pod, p.Of.Rung, p.Spec}); !sent[k] {
				sent[k] = true
				add(sender, p, -1)
			}
		}
	}
	return r
}

// sent returns what n probes in a number of passes see; ok is false where nobody sends them.
func (r *suspicion) sent(o ladder.Observation, n uint64, passes int) (ladder.Observation, bool) {
	failed, how := r.is(o, n)
	o.Sent, o.Answered, o.Passes, o.FailedPasses = n, n-failed, passes, min(passes, int(failed))
	if failed > 0 {
		o.Failures = map[ladder.Failure]uint64{how: failed}
	}
	if o.Answered > 0 && o.Rung == ladder.ClusterIP {
		// Each asker meets backends of its own.
		o.Peers = map[string]uint64{}
		at := slices.IndexFunc(r.snapshot.Nodes, func(n topology.Node) bool { return n.Name == o.From })
		for k := range o.Answered {
			backend := o.Backends[(at*int(o.Answered)+int(k)+1)%len(o.Backends)]
			straight := ladder.Observation{Rung: ladder.PodToPod, To: backend, Method: ladder.HTTP}
			if lost, _ := r.is(straight, 1); lost == 0 {
				o.Peers[backend]++
			}
		}
	}
	return o, how != silent
}

// ask returns the probes that are chosen.
func (r *suspicion) ask() []int {
	return infer.Ask(r.in, infer.Find(r.in), r.possible, r.bounds)
}

// after returns the faults that are found once the chosen probes were sent in two passes.
func (r *suspicion) after() []infer.Fault {
	in := r.in
	in.Observations = slices.Clone(in.Observations)
	for _, i := range r.ask() {
		p := r.possible[i]
		o, ok := r.sent(*p.Of, uint64(r.bounds.Times), 2)
		switch {
		case !ok:
		case p.Seen < 0:
			in.Observations = append(in.Observations, o)
		default:
			was := &in.Observations[p.Seen]
			was.Add(o.Counts)
			was.Passes, was.FailedPasses = was.Passes+o.Passes, was.FailedPasses+o.FailedPasses
		}
	}
	return infer.Find(in)
}

func podInterface(node string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		pods := o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod || o.Rung == ladder.HostToOwnPod
		return pods && o.To == node || o.From == node && !slices.Contains([]ladder.Rung{ladder.Self, ladder.HostToHost,
			ladder.HostToPod, ladder.HostClusterIP, ladder.SecondInterface}, o.Rung)
	})
}

func forwarding(node string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		return o.Rung == ladder.PodToPod && touches(o, node) || o.Rung == ladder.HostToPod && o.To == node ||
			o.From == node && (o.Rung == ladder.PodToHost || o.Rung == ladder.DNSPod)
	})
}

func policyInto(node string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		return o.To == node && (o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod)
	})
}

// The 250 nodes from n0 on send in the first round of a cluster of 1,000, and n250 is a peer of eight of them.
func TestFollowUpsTellComponentsOfANodeApartThatDoesNotSend(t *testing.T) {
	const node = "n250"
	for _, c := range []struct {
		part infer.Part
		is   broken
	}{
		{infer.Overlay, cut(node)},
		{infer.PodNetwork, podInterface(node)},
		{infer.Forwarding, forwarding(node)},
		{infer.PolicyIn, policyInto(node)},
	} {
		t.Run(string(c.part), func(t *testing.T) {
			r := suspected(cluster(1000, true), c.is)
			before, after := infer.Find(r.in), r.after()
			if len(before) != 1 || len(before[0].Group) == 0 {
				t.Errorf("the plan finds %+v; want one fault with a group", before)
			}
			want := infer.Component{Part: c.part, Node: node}
			if len(after) != 1 || after[0].Component != want || len(after[0].Group) > 0 {
				t.Errorf("after the follow-up probes it is %+v; want %+v alone", after, want)
			}
		})
	}
}

func TestFollowUpsFindThePodBehindAServiceThatNobodyAsked(t *testing.T) {
	// No agent has n600 as a peer in the first round. Three of its turns behind the Service come up.
	const node = "n600"
	met := []string{"n3", "n90", "n200"}
	is := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case o.To == node:
			return n, ladder.NoAnswer
		case o.Rung == ladder.ClusterIP && slices.Contains(met, o.From):
			return 1, ladder.NoAnswer
		}
		return 0, ""
	}
	r := suspected(cluster(1000, true), is)
	for _, f := range infer.Find(r.in) {
		if f.Component.Node == node {
			t.Errorf("the plan alone finds %+v", f)
		}
	}
	found := r.after()
	if !slices.ContainsFunc(found, func(f infer.Fault) bool { return f.Component.Node == node }) {
		t.Errorf("found %+v; want what is broken at %s", found, node)
	}
}

func TestASlightFaultIsAskedAgainBesideAHardOne(t *testing.T) {
	slight := func(o ladder.Observation) bool {
		return o.Rung == ladder.PodToPod && o.From == "n10" && o.To == "n12" && o.Method == ladder.HTTP
	}
	r := suspected(cluster(20, true), both(both(dead("n1"), cut("n2")),
		func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if slight(o) {
				return 1, ladder.NoAnswer
			}
			return 0, ""
		}))
	again := map[string]int{}
	for _, i := range r.ask() {
		o := r.possible[i].Of
		again[o.From]++
		again[o.To]++
		if slight(*o) {
			again["slight"]++
		}
	}
	if again["slight"] != 1 || again["n1"] == 0 || again["n2"] == 0 {
		t.Errorf("asked again %v; want the slight fault once, and both hard ones", again)
	}
}

func TestAnAgentThatIsAskedAnywayComesBeforeAnother(t *testing.T) {
	var in infer.Input
	var possible []infer.Possible
	for i, failed := range []uint64{2, 2, 1} {
		o := ladder.Observation{Rung: ladder.PodToPod, From: fmt.Sprintf("n%d", i%2), To: fmt.Sprintf("m%d", i),
			Method: ladder.UDP, Counts: ladder.Counts{Sent: 2, Answered: 2 - failed,
				Failures: map[ladder.Failure]uint64{ladder.NoAnswer: failed}}}
		in.Observations = append(in.Observations, o)
		possible = append(possible, infer.Possible{Of: &o, Seen: i, Agent: i % 2})
	}
	got := infer.Ask(in, nil, possible, infer.Bounds{Agents: 2, Probes: 2, Times: 3})
	if want := []int{0, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("the probes are asked for in the order %v, want %v", got, want)
	}
}

func TestWhatAnotherFaultBreaksTellsNothing(t *testing.T) {
	// Neither sends, and n253 is a peer of n250.
	r := suspected(cluster(1000, true), both(cut("n250"), dead("n253")))
	r.bounds.Probes = 4
	others := 0
	for _, i := range r.ask() {
		switch o := r.possible[i].Of; {
		case o.From != "n250" || o.Rung != ladder.PodToPod:
		case o.To == "n253":
			t.Errorf("%s from n250 to n253 is asked for", o.Method)
		default:
			others++
		}
	}
	if others == 0 {
		t.Error("n250 asks no other node")
	}
}

func TestAnAskerWhoseRequestsAreExplainedAsksNoPodsDirectly(t *testing.T) {
	r := suspected(cluster(1000, true), dead("n249"))
	if askers, pods := infer.Unheard(r.in, infer.Find(r.in), 10); len(askers)+len(pods) > 0 {
		t.Errorf("%v would ask %v", askers, pods)
	}
}

func TestOtherDNSServersAreAsked(t *testing.T) {
	s := cluster(12, true)
	for i := range 5 {
		server := s.DNS[0]
		server.Pod, server.Node = fmt.Sprintf("dns-%d", i), fmt.Sprintf("n%d", 2+i)
		server.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), 53)
		s.DNS = append(s.DNS, server)
	}
	s.DNS = s.DNS[2:]
	is := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case o.Rung == ladder.DNSPod && o.Service == "dns-4":
			return n, ladder.NoAnswer
		case o.Rung == ladder.DNSService:
			return (n + 3) / 5, ladder.NoAnswer
		}
		return 0, ""
	}
	found := suspected(s, is).after()
	want := infer.Component{Part: infer.DNSServer, Node: "n6", Service: "dns-4"}
	if len(found) != 1 || found[0].Component != want {
		t.Errorf("found %+v; want %+v", found, want)
	}
}

func TestAHealthyRoundHasNoFollowUps(t *testing.T) {
	for _, nodes := range []int{3, 20, 1000} {
		r := suspected(cluster(nodes, true), all(ladder.NoAnswer, func(ladder.Observation) bool { return false }))
		if got := r.ask(); len(got) > 0 {
			t.Errorf("%d nodes: %d probes are asked for", nodes, len(got))
		}
	}
}

func TestFollowUpsKeepTheirBounds(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		share := 0.03 * random.Float64()
		node := fmt.Sprintf("n%d", random.IntN(8))
		hard := []broken{cut(node), dead(node), podInterface(node), kubeProxy(node)}[random.IntN(4)]
		is := both(hard, func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if random.Float64() < share {
				return 1 + random.Uint64N(n), ladder.NoAnswer
			}
			return 0, ""
		})
		r := suspected(cluster(8+random.IntN(30), random.IntN(2) == 0), is)
		r.bounds = infer.Bounds{Agents: 1 + random.IntN(10), Probes: 1 + random.IntN(20), Times: 3}
		chosen, asked := r.ask(), map[int]int{}
		for _, i := range chosen {
			asked[r.possible[i].Agent]++
		}
		for agent, n := range asked {
			if n > r.bounds.Probes {
				t.Errorf("seed %d: agent %d is asked for %d probes, want at most %d", seed, agent, n, r.bounds.Probes)
			}
		}
		if len(asked) > r.bounds.Agents || len(asked) == 0 {
			t.Errorf("seed %d: %d agents are asked, want 1 to %d", seed, len(asked), r.bounds.Agents)
		}
		slices.Sort(chosen)
		if distinct := slices.Compact(slices.Clone(chosen)); len(distinct) != len(chosen) {
			t.Errorf("seed %d: probes are asked for twice", seed)
		}
	}
}

func BenchmarkFollowUpsInALargeCluster(b *testing.B) {
	s := cluster(5000, true)
	for _, c := range []struct {
		name string
		is   broken
	}{
		{"a node", cut("n250")},
		{"a zone", all(ladder.NoAnswer, func(o ladder.Observation) bool {
			far := func(node string) bool { return node != "" && int(node[len(node)-1]-'0')%2 == 0 }
			return o.To != "" && far(o.From) != far(o.To) && overlay(o)
		})},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := suspected(s, c.is)
			faults := infer.Find(r.in)
			b.Run("find", func(b *testing.B) {
				for b.Loop() {
					infer.Find(r.in)
				}
			})
			b.Run("ask", func(b *testing.B) {
				for b.Loop() {
					infer.Ask(r.in, faults, r.possible, r.bounds)
				}
			})
			b.Run("further", func(b *testing.B) {
				for b.Loop() {
					ladder.Further(s, r.options, ladder.Look{Nodes: infer.Places(r.in, faults, 16)})
				}
			})
		})
	}
}
