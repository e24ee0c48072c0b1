package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

// least is a plan that asks for no more than it must.
func least() mesh.Plan {
	return mesh.Plan{
		Key: key(), Agent: topology.Agent{Pod: "a"}, Limit: time.Minute,
		Targets: []target.Target{{ID: "b", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP2,
			Address: "https://198.18.1.2", Dial: strings.Repeat("b", 253) + ":65535"}},
		Load: mesh.Load{PerSecond: 1, Duration: time.Second, Timeout: time.Second},
	}
}

func TestAPlanArrivesWithNothingThatItDoesNotSay(t *testing.T) {
	for name, change := range map[string]func(*mesh.Plan){
		"as it is":                   func(*mesh.Plan) {},
		"with delayed plain answers": func(p *mesh.Plan) { p.Answer.Delay = time.Second },
	} {
		want := least()
		change(&want)
		got, err := wire.ParsePlan(wire.Plan(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", name, diff)
		}
	}
}

func TestMoreOfAPlanThatNoControllerSends(t *testing.T) {
	for name, spoil := range map[string]func(*agentv1.Plan){
		"an authority that is garbage, and that no target trusts": func(p *agentv1.Plan) {
			p.Authorities = []*agentv1.Authority{{Name: "x", Certificates: []byte("x")}}
		},
		"an unknown protocol, and a URL without any": func(p *agentv1.Plan) {
			p.Targets[0].Protocol, p.Targets[0].Address = "dns", "//198.18.1.2"
		},
		"a port to connect to that is no decimal number": func(p *agentv1.Plan) { p.Targets[0].Dial = "b:1a" },
		"port 65536 to connect to":                       func(p *agentv1.Plan) { p.Targets[0].Dial = "b:65536" },
	} {
		message := wire.Plan(least())
		spoil(message)
		if got, err := wire.ParsePlan(message); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	for _, rate := range []int{0, -1} {
		p := least()
		p.Load.PerSecond = rate
		if _, err := wire.ParsePlan(wire.Plan(p)); err == nil {
			t.Errorf("a rate of %d is accepted", rate)
		}
	}
}

func TestTheFirstOfAKindArrives(t *testing.T) {
	p := report.Path{Target: least().Targets[0], Scheduled: 1, Sent: 1, OK: 1}
	p.Latency.Record(time.Millisecond)
	p.Response.Record(time.Millisecond)
	p.Lag.Record(time.Millisecond)
	p.Phases[probe.Connect] = report.Phase{Count: 1, Sum: time.Millisecond, Max: time.Millisecond}
	want := report.Agent{Pod: "a", Node: "n", Paths: []report.Path{p}}
	got, err := wire.ParseReport(wire.Report(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, exact()); diff != "" {
		t.Errorf("report (-sent +received):\n%s", diff)
	}
}
