package score

import (
	"math"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/internal/infer"
)

func node(part infer.Part, name string) infer.Component {
	return infer.Component{Part: part, Node: name}
}

func trial(accept ...[]infer.Component) *round.Trial {
	t := &round.Trial{}
	for _, a := range accept {
		t.Faults = append(t.Faults, round.Fault{Truth: round.Truth{Kind: string(a[0].Part), Accept: a,
			AspectKnown: true}})
	}
	return t
}

func report(confidence float64, c infer.Component, group ...infer.Component) infer.Fault {
	return infer.Fault{Component: c, Group: group, Confidence: confidence}
}

func TestTally(t *testing.T) {
	overlay, network := node(infer.Overlay, "a"), node(infer.NodeNetwork, "b")
	for _, c := range []struct {
		name                    string
		trial                   *round.Trial
		reports                 []infer.Fault
		precision, recall, f1   float64
		first, group            float64
		falseReports, confident int
	}{
		{"the component itself", trial([]infer.Component{overlay}), []infer.Fault{report(1, overlay)}, 1, 1, 1, 1, 1, 0,
			1},
		{"in the group", trial([]infer.Component{overlay}), []infer.Fault{report(1, network, overlay)}, 1, 1, 1, 1, 2,
			0, 1},
		{"another node", trial([]infer.Component{overlay}), []infer.Fault{report(1, node(infer.Overlay, "b"))}, 0, 0, 0,
			0, 0, 1, 1},
		{"nothing", trial([]infer.Component{overlay}), nil, 1, 0, 0, 0, 0, 0, 0},
		{"second of two reports", trial([]infer.Component{overlay}),
			[]infer.Fault{report(1, network), report(1, overlay)}, 0.5, 1, 2.0 / 3, 0, 1, 1, 2},
		{"the same twice is no second fault", trial([]infer.Component{overlay}),
			[]infer.Fault{report(1, overlay), report(1, overlay)}, 1, 1, 1, 1, 1, 0, 1},
		{"one of two faults", trial([]infer.Component{overlay}, []infer.Component{network}),
			[]infer.Fault{report(1, network)}, 1, 0.5, 2.0 / 3, 1, 1, 0, 1},
		{"either of two right answers, and both", trial([]infer.Component{overlay, network}),
			[]infer.Fault{report(1, network), report(1, overlay)}, 1, 1, 1, 1, 1, 0, 1},
		{"one report cannot be two faults", trial([]infer.Component{overlay}, []infer.Component{network}),
			[]infer.Fault{report(1, network, overlay)}, 1, 0.5, 2.0 / 3, 1, 2, 0, 1},
		{"a false alarm in a healthy cluster", trial(), []infer.Fault{report(1, overlay)}, 0, 1, 0, 1, 0, 1, 1},
	} {
		var tally Tally
		tally.Add(c.trial, c.reports)
		got := []float64{tally.Precision(), tally.Recall(), tally.F1(), tally.FirstHit(), tally.GroupSize(),
			float64(tally.False), float64(tally.Confident[bins-1])}
		want := []float64{c.precision, c.recall, c.f1, c.first, c.group, float64(c.falseReports), float64(c.confident)}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%s: %v, expected %v", c.name, got, want)
				break
			}
		}
	}
}

func TestKindsAndAspects(t *testing.T) {
	overlay, network := node(infer.Overlay, "a"), node(infer.NodeNetwork, "b")
	var tally Tally
	tr := trial([]infer.Component{overlay}, []infer.Component{network})
	tr.Faults[0].Truth.Aspect.Family = "IPv6"
	wrong := report(1, overlay)
	o := tally.Add(tr, []infer.Fault{wrong, report(1, node(infer.Agent, "c"))})
	if !o.Hit[0] || o.Hit[1] || len(o.False) != 1 {
		t.Errorf("%+v", o)
	}
	if tally.Kinds["overlay"] != (Kind{1, 0}) || tally.Kinds["node network"] != (Kind{1, 1}) ||
		tally.Wrong["agent"] != 1 {
		t.Errorf("%+v, %+v", tally.Kinds, tally.Wrong)
	}
	if tally.AspectRight() != 0 || tally.Aspects != 1 {
		t.Errorf("%d of %d aspects are right", tally.AspectsRight, tally.Aspects)
	}
}

func TestWhatAnAgentSaidItselfNeedNotBeFound(t *testing.T) {
	agent := node(infer.Agent, "a")
	for _, c := range []struct {
		name         string
		reports      []infer.Fault
		falseReports int
	}{
		{"nothing reported", nil, 0},
		{"the agent reported", []infer.Fault{report(1, agent)}, 0},
		{"something else reported", []infer.Fault{report(1, node(infer.PolicyOut, "a"))}, 1},
	} {
		tr := trial([]infer.Component{agent})
		tr.Faults[0].Truth.Known = true
		var tally Tally
		tally.Add(tr, c.reports)
		if tally.Injected != 0 || tally.Broken != 0 || tally.Hits != 0 || tally.False != c.falseReports {
			t.Errorf("%s: %+v", c.name, tally)
		}
	}
}

func TestCalibrationError(t *testing.T) {
	overlay, other := node(infer.Overlay, "a"), node(infer.Overlay, "b")
	for _, c := range []struct {
		name       string
		confidence float64
		right      int
		want       float64
	}{
		{"always sure and always right", 1, 10, 0},
		{"always sure and never right", 1, 0, 1},
		{"four of five sure and right", 0.8, 8, 0},
		{"four of five sure and half right", 0.8, 5, 0.3},
	} {
		var tally Tally
		for i := range 10 {
			said := other
			if i < c.right {
				said = overlay
			}
			tally.Add(trial([]infer.Component{overlay}), []infer.Fault{report(c.confidence, said)})
		}
		if got := tally.CalibrationError(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, expected %v", c.name, got, c.want)
		}
	}
}

func TestSame(t *testing.T) {
	pair := func(part infer.Part, a, b string) infer.Component {
		return infer.Component{Part: part, Node: a, Peer: b}
	}
	for _, c := range []struct {
		name string
		a, b infer.Component
		want bool
	}{
		{"a pair in the other order", pair(infer.NodePair, "a", "b"), pair(infer.NodePair, "b", "a"), true},
		{"another pair", pair(infer.NodePair, "a", "b"), pair(infer.NodePair, "a", "c"), false},
		{"the same pair of another network", pair(infer.NodePair, "a", "b"), pair(infer.PodPair, "a", "b"), false},
		{"a DNS server by its name alone", infer.Component{Part: infer.DNSServer, Node: "a", Service: "dns-1"},
			infer.Component{Part: infer.DNSServer, Service: "dns-1"}, true},
		{"another DNS server", infer.Component{Part: infer.DNSServer, Service: "dns-1"},
			infer.Component{Part: infer.DNSServer, Service: "dns-2"}, false},
		{"the one Ingress", infer.Component{Part: infer.Ingress},
			infer.Component{Part: infer.Ingress, Service: "x"}, true},
		{"another node", node(infer.Agent, "a"), node(infer.Agent, "b"), false},
	} {
		if got := Same(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
