package wire_test

import (
	"encoding/pem"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

func key() schedule.Key {
	return schedule.Key{UID: "0b5f4a56-7a13-4c0e-9d5e-1f1f5f0c7f11", Generation: 2, Round: 3}
}

func plan() mesh.Plan {
	return mesh.Plan{
		Key:   key(),
		Task:  report.TaskRef{Kind: "NetReach", Name: "task"},
		Agent: topology.Agent{Pod: "kdoctor-agent-a"},
		Targets: []target.Target{
			{ID: "AgentPodV4IP_b_198.18.1.2", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP,
				Address: "http://198.18.1.2:8080", Pod: "b", Node: "n1", Interface: "net1"},
			{ID: "AgentIngress_http://[fd98::3]/kdoctoragent", Kind: target.Ingress, Family: topology.IPv6,
				Protocol: target.HTTP,
				Address:  "http://[fd98::3]/kdoctoragent"},
			{ID: "AgentIngress_https://web.example/x", Kind: target.Ingress, Family: topology.IPv4,
				Protocol: target.HTTPS,
				Address:  "https://web.example/x", Dial: "198.18.0.3:443", Trust: "k/web"},
			{ID: "port", Kind: target.NodePort, Family: topology.IPv4, Protocol: target.HTTP,
				Address: "http://198.18.0.99:30080",
				Answer:  target.Backends, OnlyNode: "n1", ShortCircuit: true, Further: true, AtNode: "n2",
				External: true},
			{ID: "tcp", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.TCP,
				Address: "tcp://198.18.1.2:8080"},
		},
		Authorities: map[string][]byte{"k/web": authority()},
		Load: mesh.Load{PerSecond: 10, Every: 10, Duration: 10 * time.Second, Timeout: time.Second,
			Connection: mesh.Both},
		Limit: time.Minute,
		HTTP:  mesh.HTTP{Status: 204, Answer: mesh.Answer{Bytes: 4096, Delay: time.Second, Status: 204}},
	}
}

// authority is a certificate in PEM.
func authority() []byte {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// asSent is the plan with what agents need of its targets, and no more.
func asSent(p mesh.Plan) mesh.Plan {
	p.Targets = slices.Clone(p.Targets)
	for i, t := range p.Targets {
		p.Targets[i] = target.Target{ID: t.ID, Family: t.Family, Protocol: t.Protocol, Address: t.Address, Dial: t.Dial,
			Trust: t.Trust, Answer: t.Answer, Pod: t.Pod}
	}
	return p
}

// readReport reads the message as the controller does, with the plan that it sent.
func readReport(m *agentv1.AgentReport, sent mesh.Plan) (report.AgentReport, error) {
	r, err := wire.ParseReport(m)
	sent.Attach(&r)
	return r, err
}

func agentReport() report.AgentReport {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	p := report.Path{
		Target:    plan().Targets[0],
		Scheduled: 5, Sent: 4, Missed: 1, OK: 2, Kernel: 2, Retransmits: 3, Retransmitted: 2, Reused: 2, Closed: 1,
		IdleResets: 1, IdleCloses: 2,
		Failures: []report.Failure{
			{Outcome: probe.Timeout, Phase: probe.Connect, Count: 1, Examples: []string{"no answer in 1s"},
				Spans: []report.Span{{First: 200 * time.Millisecond, Last: 200 * time.Millisecond, Count: 1}}},
			{Outcome: probe.Aborted, Count: 1},
		},
		Statuses: map[int]uint64{200: 2},
		Peers:    map[string]uint64{"b": 2},
		Bytes:    512,
		Started:  start, Ended: start.Add(time.Second),
	}
	for _, us := range []int{300, 4000} {
		p.Latency.Record(time.Duration(us) * time.Microsecond)
	}
	for range 4 {
		p.Lag.Record(70 * time.Microsecond)
	}
	p.Phases[probe.Connect] = report.Phase{Count: 2, Sum: 3 * time.Millisecond, Max: 2 * time.Millisecond}
	p.Response.Merge(p.Latency)
	persistent := p
	p.Persistent = &persistent
	return report.AgentReport{
		Pod: "a", Node: "n0", Finished: true, Started: start, Ended: start.Add(2 * time.Second),
		Paths:     []report.Path{p},
		Resources: report.Resources{Known: true, MaxCPU: 12.5, MeanCPU: 3, MaxMemory: 1 << 24},
		Observer: report.Observer{Quota: 0.5, Periods: 20, ThrottledPeriods: 3, Throttled: time.Second,
			LongestPause: time.Millisecond,
			Files:        30, FileLimit: 1024, Ports: 28232, Conntrack: 100, ConntrackLimit: 131072,
			FixedWakeups: true},
		Served: 7, ServedPersistent: 2,
	}
}

func exact() cmp.Option { return cmp.AllowUnexported(stats.Histogram{}) }

func TestPlanSurvivesTheWayThere(t *testing.T) {
	bytes, err := proto.Marshal(wire.Plan(plan()))
	if err != nil {
		t.Fatal(err)
	}
	var message agentv1.Plan
	if err := proto.Unmarshal(bytes, &message); err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParsePlan(&message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(asSent(plan()), got); diff != "" {
		t.Errorf("plan (-sent +received):\n%s", diff)
	}
}

func TestPlanThatNoControllerSendsIsRefused(t *testing.T) {
	cases := map[string]func(*agentv1.Plan){
		"without a key":             func(p *agentv1.Plan) { p.Key = nil },
		"with a UID that is a path": func(p *agentv1.Plan) { p.Key.TaskUid = "../x" },
		"with an endless UID":       func(p *agentv1.Plan) { p.Key.TaskUid = strings.Repeat("a", 65) },
		"of a negative generation":  func(p *agentv1.Plan) { p.Key.Generation = -1 },
		"of round zero":             func(p *agentv1.Plan) { p.Key.Round = 0 },
		"for nobody":                func(p *agentv1.Plan) { p.Pod = "" },
		"without targets":           func(p *agentv1.Plan) { p.Targets = nil },
		"with an empty target":      func(p *agentv1.Plan) { p.Targets[0] = nil },
		"with too many targets": func(p *agentv1.Plan) {
			p.Targets = make([]*agentv1.Target,
				wire.MaxTargets+1)
		},
		"with one target twice":                func(p *agentv1.Plan) { p.Targets[1].Id = p.Targets[0].Id },
		"with an endless target name":          func(p *agentv1.Plan) { p.Targets[0].Id = strings.Repeat("a", 1025) },
		"with a target name that rings a bell": func(p *agentv1.Plan) { p.Targets[0].Id = "a\x07" },
		"with a file URL":                      func(p *agentv1.Plan) { p.Targets[0].Address = "file:///etc/passwd" },
		"with an https URL":                    func(p *agentv1.Plan) { p.Targets[0].Address = "https://198.18.1.2" },
		"with a password in a URL": func(
			p *agentv1.Plan) {
			p.Targets[0].Address = "http://u:p@198.18.1.2"
		},
		"with a URL without a host": func(p *agentv1.Plan) { p.Targets[0].Address = "http:///x" },
		"with port 0": func(
			p *agentv1.Plan) {
			p.Targets[0].Address = "http://198.18.1.2:0"
		},
		"with port 65536": func(
			p *agentv1.Plan) {
			p.Targets[0].Address = "http://198.18.1.2:65536"
		},
		"in an unknown protocol":                 func(p *agentv1.Plan) { p.Targets[0].Protocol = "dns" },
		"in an unknown family":                   func(p *agentv1.Plan) { p.Targets[0].Family = "IPv5" },
		"without a load":                         func(p *agentv1.Plan) { p.Load = nil },
		"with rate 0":                            func(p *agentv1.Plan) { p.Load.PerSecond = 0 },
		"with rate 1001":                         func(p *agentv1.Plan) { p.Load.PerSecond = 1001 },
		"with requests less often than it lasts": func(p *agentv1.Plan) { p.Load.Every = 11 },
		"with requests that never come":          func(p *agentv1.Plan) { p.Load.Every = math.MaxUint32 },
		"with half a second of load": func(
			p *agentv1.Plan) {
			p.Load.Duration = durationpb.New(time.Second / 2)
		},
		"with more than a day of load": func(
			p *agentv1.Plan) {
			p.Load.Duration = durationpb.New(25 * time.Hour)
		},
		"with a duration beyond any clock": func(
			p *agentv1.Plan) {
			p.Load.Duration = &durationpb.Duration{Seconds: math.MaxInt64}
		},
		"without a timeout":                     func(p *agentv1.Plan) { p.Load.Timeout = nil },
		"with a timeout of nothing":             func(p *agentv1.Plan) { p.Load.Timeout = durationpb.New(0) },
		"without a limit":                       func(p *agentv1.Plan) { p.Limit = nil },
		"with a limit that is over":             func(p *agentv1.Plan) { p.Limit = durationpb.New(-time.Second) },
		"that expects status 99":                func(p *agentv1.Plan) { p.ExpectedStatus = 99 },
		"with an unknown way to connect":        func(p *agentv1.Plan) { p.Load.Connection = "sometimes" },
		"with a name to connect to and no port": func(p *agentv1.Plan) { p.Targets[2].Dial = "web.example" },
		"with an address of another family":     func(p *agentv1.Plan) { p.Targets[2].Dial = "[fd98::3]:443" },
		"with port 0 to connect to":             func(p *agentv1.Plan) { p.Targets[2].Dial = "198.18.0.3:0" },
		"with an authority that it lacks":       func(p *agentv1.Plan) { p.Targets[2].Trust = "other" },
		"with an authority that is garbage":     func(p *agentv1.Plan) { p.Authorities[0].Certificates = []byte("x") },
		"with one authority twice": func(p *agentv1.Plan) {
			p.Authorities = append(p.Authorities,
				p.Authorities[0])
		},
		"with a TCP target without a port": func(p *agentv1.Plan) { p.Targets[4].Address = "tcp://198.18.1.2" },
		"with an answer of a megabyte":     func(p *agentv1.Plan) { p.Answer.Bytes = 1 << 20 },
		"with a delay of an hour":          func(p *agentv1.Plan) { p.Answer.Delay = durationpb.New(time.Hour) },
		"with an interim answer":           func(p *agentv1.Plan) { p.Answer.Status = 100 },
		"that expects status 600":          func(p *agentv1.Plan) { p.ExpectedStatus = 600 },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			message := wire.Plan(plan())
			spoil(message)
			if got, err := wire.ParsePlan(message); err == nil {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
	if _, err := wire.ParsePlan(nil); err == nil {
		t.Error("no plan at all is accepted")
	}
}

func TestReportSurvivesTheWayBack(t *testing.T) {
	cases := map[string]func(*report.AgentReport){
		"of a finished round":                func(*report.AgentReport) {},
		"of a stopped round":                 func(r *report.AgentReport) { r.Finished = false },
		"of a running round":                 func(r *report.AgentReport) { r.Finished, r.Ended = false, time.Time{} },
		"of a round that measured nothing":   func(r *report.AgentReport) { r.Paths = nil },
		"of an agent that cannot see itself": func(r *report.AgentReport) { r.Resources = report.Resources{} },
		"of a path that has not yet been run": func(
			r *report.AgentReport) {
			r.Paths = []report.Path{{Target: plan().Targets[1]}}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			want := agentReport()
			change(&want)
			bytes, err := proto.Marshal(wire.Report(want))
			if err != nil {
				t.Fatal(err)
			}
			var message agentv1.AgentReport
			if err := proto.Unmarshal(bytes, &message); err != nil {
				t.Fatal(err)
			}
			got, err := readReport(&message, plan())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, exact()); diff != "" {
				t.Errorf("report (-sent +received):\n%s", diff)
			}
		})
	}
}

func TestReportThatDoesNotAddUpIsRefused(t *testing.T) {
	cases := map[string]func(*agentv1.AgentReport){
		"of nobody":   func(r *agentv1.AgentReport) { r.Pod = "" },
		"in no state": func(r *agentv1.AgentReport) { r.State = 0 },
		"running though it has ended": func(
			r *agentv1.AgentReport) {
			r.State = agentv1.RoundState_ROUND_STATE_RUNNING
		},
		"finished without an end": func(r *agentv1.AgentReport) { r.Ended = nil },
		"ending before it starts": func(
			r *agentv1.AgentReport) {
			r.Ended = timestamppb.New(r.Started.AsTime().Add(-1))
		},
		"with a time beyond the calendar": func(r *agentv1.AgentReport) { r.Started.Seconds = math.MaxInt64 },
		"with a CPU use that is no number": func(
			r *agentv1.AgentReport) {
			r.Resources.MaxCpuPercent = math.NaN()
		},
		"with a negative CPU use":        func(r *agentv1.AgentReport) { r.Resources.MeanCpuPercent = -1 },
		"with more sent than scheduled":  func(r *agentv1.AgentReport) { r.Paths[0].Scheduled = 3 },
		"with missed that overflow":      func(r *agentv1.AgentReport) { r.Paths[0].Missed = math.MaxUint64 },
		"with more successes than sent":  func(r *agentv1.AgentReport) { r.Paths[0].Ok = 5 },
		"with sent that have no outcome": func(r *agentv1.AgentReport) { r.Paths[0].Failures = nil },
		"with failures that overflow": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Count = math.MaxUint64
		},
		"with a failure that is a success": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Outcome = "OK"
		},
		"with an unknown outcome": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Outcome = "Bored"
		},
		"with an unknown phase": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Phase = "moon"
		},
		"with one kind of failure twice": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[1] = r.Paths[0].Failures[0]
		},
		"with too many examples": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Examples = make([]string, 4)
		},
		"with an endless example": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Failures[0].Examples[0] = strings.Repeat("a", 257)
		},
		"with latencies that are none": func(r *agentv1.AgentReport) { r.Paths[0].Latency = nil },
		"with latencies of another path": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Latency = r.Paths[0].Lag
		},
		"with lags of another path": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Lag = r.Paths[0].Latency
		},
		"with a status that HTTP does not have": func(r *agentv1.AgentReport) { r.Paths[0].Statuses[99] = 1 },
		"with more statuses than sent":          func(r *agentv1.AgentReport) { r.Paths[0].Statuses[500] = 3 },
		"with more peers than sent":             func(r *agentv1.AgentReport) { r.Paths[0].Peers["c"] = 3 },
		"with a peer without a name":            func(r *agentv1.AgentReport) { r.Paths[0].Peers[""] = 1 },
		"with responses of another path": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Response = r.Paths[0].Lag
		},
		"with an unknown phase that took time": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Phases[0].Phase = "moon"
		},
		"with a phase more often than OK": func(r *agentv1.AgentReport) { r.Paths[0].Phases[0].Count = 3 },
		"with a phase twice": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Phases = append(r.Paths[0].Phases, r.Paths[0].Phases[0])
		},
		"with a phase longer than all": func(
			r *agentv1.AgentReport) {
			r.Paths[0].Phases[0].Max = durationpb.New(time.Hour)
		},
		"with more kernel stamps than OK":          func(r *agentv1.AgentReport) { r.Paths[0].Kernel = 3 },
		"with fewer segments than attempts resent": func(r *agentv1.AgentReport) { r.Paths[0].Retransmits = 1 },
		"with more closed than reused":             func(r *agentv1.AgentReport) { r.Paths[0].Reused = 0 },
		"with a persistent stream that is wrong":   func(r *agentv1.AgentReport) { r.Paths[0].Persistent.Sent = 9 },
		"with more throttled periods than all":     func(r *agentv1.AgentReport) { r.Observer.ThrottledPeriods = 21 },
		"with a limit of no cores at all":          func(r *agentv1.AgentReport) { r.Observer.QuotaCores = math.NaN() },
		"with a negative pause": func(
			r *agentv1.AgentReport) {
			r.Observer.LongestPause = durationpb.New(-1)
		},
		"with one target twice":        func(r *agentv1.AgentReport) { r.Paths = append(r.Paths, r.Paths[0]) },
		"with a path without a target": func(r *agentv1.AgentReport) { r.Paths[0].TargetId = "" },
		"with an endless target ID": func(r *agentv1.AgentReport) {
			r.Paths[0].TargetId = strings.Repeat("a",
				1025)
		},
		"with an ID that rings a bell": func(r *agentv1.AgentReport) { r.Paths[0].TargetId = "a\x07" },
		"with one target twice, by an ID and by a whole target": func(r *agentv1.AgentReport) {
			path := proto.CloneOf(r.Paths[0])
			path.TargetId, path.Target = "", &agentv1.Target{Id: r.GetPaths()[0].GetTargetId()}
			r.Paths = append(r.Paths, path)
		},
		"with more paths than a plan may ask": func(r *agentv1.AgentReport) {
			r.Paths = make([]*agentv1.Path,
				wire.MaxTargets+1)
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			message := wire.Report(agentReport())
			spoil(message)
			if got, err := wire.ParseReport(message); err == nil {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
	if _, err := wire.ParseReport(nil); err == nil {
		t.Error("no report at all is accepted")
	}
}

func TestMessageOfAFailureIsMadeFitToBeSent(t *testing.T) {
	r := agentReport()
	r.Paths[0].Failures[0].Examples = []string{"bad \xff byte\r\n", strings.Repeat("ä", 300), "c", "one too many"}
	got, err := wire.ParseReport(wire.Report(r))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bad ? byte  ", strings.Repeat("ä", wire.MaxExampleBytes/2), "c"}
	if diff := cmp.Diff(want, got.Paths[0].Failures[0].Examples); diff != "" {
		t.Errorf("examples (-want +got):\n%s", diff)
	}
}

func FuzzParsePlan(f *testing.F) {
	seed, err := proto.Marshal(wire.Plan(plan()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var message agentv1.Plan
		if proto.Unmarshal(b, &message) != nil {
			return
		}
		accepted, err := wire.ParsePlan(&message)
		if err != nil {
			return
		}
		again, err := wire.ParsePlan(wire.Plan(accepted))
		if err != nil {
			t.Fatalf("what was accepted once is refused: %v", err)
		}
		if accepted.Load.Requests() < 1 {
			t.Errorf("%+v is taken, and nothing would ever be sent", accepted.Load)
		}
		if diff := cmp.Diff(accepted, again); diff != "" {
			t.Errorf("plan changed on the way (-first +second):\n%s", diff)
		}
	})
}

func FuzzParseReport(f *testing.F) {
	seed, err := proto.Marshal(wire.Report(agentReport()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var message agentv1.AgentReport
		if proto.Unmarshal(b, &message) != nil {
			return
		}
		accepted, err := wire.ParseReport(&message)
		if err != nil {
			return
		}
		for _, p := range accepted.Paths {
			failures := uint64(0)
			for _, failure := range p.Failures {
				failures += failure.Count
			}
			if p.Scheduled != p.Sent+p.Missed || p.Sent != p.OK+failures || p.Latency.Count() != p.OK ||
				p.Lag.Count() != p.Sent {
				t.Errorf("accepted a path that does not add up: %+v", p)
			}
		}
		again, err := wire.ParseReport(wire.Report(accepted))
		if err != nil {
			t.Fatalf("what was accepted once is refused: %v", err)
		}
		if diff := cmp.Diff(accepted, again, exact()); diff != "" {
			t.Errorf("report changed on the way (-first +second):\n%s", diff)
		}
	})
}
