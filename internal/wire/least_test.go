package wire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"google.golang.org/protobuf/proto"

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
		if diff := cmp.Diff(asSent(want), got); diff != "" {
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
	want := report.AgentReport{Pod: "a", Node: "n", Paths: []report.Path{p}}
	got, err := readReport(wire.Report(want), least())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, exact()); diff != "" {
		t.Errorf("report (-sent +received):\n%s", diff)
	}
}

// healthy is a report of one request that succeeded, or of none.
func healthy(requests uint64) report.AgentReport {
	p := report.Path{Target: least().Targets[0], Scheduled: requests, Sent: requests, OK: requests}
	for range requests {
		p.Latency.Record(time.Millisecond)
		p.Response.Record(time.Millisecond)
		p.Lag.Record(time.Millisecond)
	}
	return report.AgentReport{Pod: "a", Node: "n", Paths: []report.Path{p}}
}

func TestWhatNoCountShowsIsRefusedAllTheSame(t *testing.T) {
	for name, spoil := range map[string]func(*agentv1.Path){
		"latencies that are garbage, of no successes": func(p *agentv1.Path) { p.Latency = []byte{1} },
		"responses that are garbage, of no successes": func(p *agentv1.Path) { p.Response = []byte{1} },
		"lags that are garbage, of no requests":       func(p *agentv1.Path) { p.Lag = []byte{1} },
		"fewer scheduled than sent, and missed that overflow": func(p *agentv1.Path) {
			p.Sent, p.Missed = 1,
				math.MaxUint64
		},
		"a failure that no request had": func(p *agentv1.Path) {
			p.Failures = []*agentv1.Failure{{Outcome: "Timeout", Phase: "connect"}}
		},
		"an unknown failure that no request had": func(p *agentv1.Path) {
			p.Failures = []*agentv1.Failure{{Outcome: "Bored", Phase: "connect", Count: 1}}
		},
	} {
		message := wire.Report(healthy(0))
		spoil(message.GetPaths()[0])
		if _, err := wire.ParseReport(message); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	message := wire.Report(healthy(1))
	connect := &agentv1.PhaseTime{Phase: "connect", Count: 1}
	message.Paths[0].Phases = []*agentv1.PhaseTime{connect, connect}
	if _, err := wire.ParseReport(message); err == nil {
		t.Error("one phase that stands twice is accepted")
	}
	if _, err := wire.ParseReport(nil); err == nil {
		t.Error("no report at all is accepted")
	}
}

func TestManyKindsOfFailureArrive(t *testing.T) {
	want := healthy(0)
	p := &want.Paths[0]
	for _, outcome := range []probe.Outcome{probe.Timeout, probe.Refused, probe.Reset, probe.BadAnswer} {
		for _, phase := range []probe.Phase{probe.Connect, probe.FirstByte, probe.Body} {
			p.Failures = append(p.Failures, report.Failure{Outcome: outcome, Phase: phase, Count: 1})
			p.Scheduled, p.Sent = p.Scheduled+1, p.Sent+1
			p.Lag.Record(time.Millisecond)
		}
	}
	got, err := readReport(wire.Report(want), least())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, exact()); diff != "" {
		t.Errorf("report (-sent +received):\n%s", diff)
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"text stays", "no ~ \u0080 é", "no ~ \u0080 é"},
		{"control characters become spaces", "a\x00b\x1fc\x7fd\n", "a b c d "},
		{"what is no text becomes a question mark", "a\xffb", "a?b"},
		{"256 bytes stay", strings.Repeat("a", 256), strings.Repeat("a", 256)},
		{"what is longer is cut", strings.Repeat("a", 257), strings.Repeat("a", 256)},
		{"and not within a letter", strings.Repeat("a", 255) + "é", strings.Repeat("a", 255)},
	} {
		if got := wire.Printable(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A message of one release must be one that the next release takes, and that the last one took: these bounds may never
// shrink. One that grows grows here as well, so that no release after that takes less.
func TestBoundsThatBothSidesKeep(t *testing.T) {
	for name, c := range map[string]struct{ bound, agreed int }{
		"targets of a plan":           {wire.MaxTargets, 20_000},
		"authorities of a plan":       {wire.MaxAuthorities, 64},
		"bytes of an authority":       {wire.MaxAuthorityBytes, 256 << 10},
		"examples of a failure":       {wire.MaxExamples, 3},
		"bytes of an example":         {wire.MaxExampleBytes, 256},
		"bytes of a message":          {wire.MaxMessageBytes, 128 << 20},
		"requests a second to target": {wire.MaxPerSecond, 1000},
	} {
		if c.bound != c.agreed {
			t.Errorf("%s: %d, agreed are %d", name, c.bound, c.agreed)
		}
	}
	// Full histograms of three kinds, of 200 counted requests a bucket and a tenth of that on the persistent stream.
	full := func(each int) report.Path {
		p := report.Path{Target: least().Targets[0]}
		for us := time.Duration(1); us < 100_000_000; us += 1 + us/32 {
			for range each {
				p.Latency.Record(us * time.Microsecond)
				p.Response.Record(us * time.Microsecond)
				p.Lag.Record(us * time.Microsecond)
			}
		}
		return p
	}
	p, persistent := full(200), full(20)
	p.Persistent = &persistent
	if size := proto.Size(
		wire.Report(report.AgentReport{Paths: []report.Path{p}})) * wire.MaxTargets; size > wire.MaxMessageBytes {
		t.Errorf("a report of the most targets has %d bytes, allowed are %d", size, wire.MaxMessageBytes)
	}
}
