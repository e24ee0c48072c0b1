package wire_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/wire"
)

// edge is a change of a message by a value, with values at and beyond a bound.
type edge[M any, V any] struct {
	name           string
	set            func(M, V)
	taken, refused []V
}

func check[M, V any](t *testing.T, make func() M, parse func(M) error, edges []edge[M, V]) {
	t.Helper()
	for _, e := range edges {
		for _, taken := range []bool{true, false} {
			values := e.refused
			if taken {
				values = e.taken
			}
			for _, v := range values {
				message := make()
				e.set(message, v)
				if err := parse(message); (err == nil) != taken {
					t.Errorf("%s: %.80v is taken: %t, want %t (%v)", e.name, fmt.Sprint(v), err == nil, taken, err)
				}
			}
		}
	}
}

func planMessage() *agentv1.Plan { return wire.Plan(plan()) }

func parsePlan(m *agentv1.Plan) error {
	_, err := wire.ParsePlan(m)
	return err
}

func reportMessage() *agentv1.AgentReport { return wire.Report(agentReport()) }

func parseReport(m *agentv1.AgentReport) error {
	_, err := wire.ParseReport(m)
	return err
}

func TestNumbersOfAPlanAtTheirBounds(t *testing.T) {
	check(t, planMessage, parsePlan, []edge[*agentv1.Plan, int64]{
		{"generation", func(p *agentv1.Plan, n int64) { p.Key.Generation = n }, []int64{0, 1, math.MaxInt64},
			[]int64{-1}},
		{"round", func(p *agentv1.Plan, n int64) { p.Key.Round = n }, []int64{1, math.MaxInt64}, []int64{0, -1}},
		{"rate", func(p *agentv1.Plan, n int64) { p.Load.PerSecond = uint32(n) }, []int64{1, 1000}, []int64{0, 1001}},
		{"seconds between requests of a load of ten", func(p *agentv1.Plan, n int64) { p.Load.Every = uint32(n) },
			[]int64{0, 1, 9, 10}, []int64{11}},
		{"duration", func(p *agentv1.Plan, n int64) {
			p.Load.Every, p.Load.Duration = 0,
				durationpb.New(time.Duration(n))
		},
			[]int64{int64(time.Second), int64(24 * time.Hour)}, []int64{0, int64(time.Second) - 1,
				int64(24*time.Hour) + 1}},
		{"timeout", func(p *agentv1.Plan, n int64) { p.Load.Timeout = durationpb.New(time.Duration(n)) },
			[]int64{int64(time.Millisecond), int64(time.Hour)}, []int64{int64(time.Millisecond) - 1,
				int64(time.Hour) + 1}},
		{"limit", func(p *agentv1.Plan, n int64) { p.Limit = durationpb.New(time.Duration(n)) },
			[]int64{int64(time.Millisecond), int64(48 * time.Hour)}, []int64{int64(time.Millisecond) - 1,
				int64(48*time.Hour) + 1}},
		{"expected status", func(p *agentv1.Plan, n int64) { p.ExpectedStatus = uint32(n) }, []int64{0, 100, 599},
			[]int64{1, 99, 600}},
		{"bytes of answers", func(p *agentv1.Plan, n int64) { p.Answer.Bytes = uint32(n) }, []int64{0, 64 << 10},
			[]int64{64<<10 + 1}},
		{"delay of answers", func(p *agentv1.Plan, n int64) { p.Answer.Delay = durationpb.New(time.Duration(n)) },
			[]int64{0, int64(time.Minute)}, []int64{-1, int64(time.Minute) + 1}},
		{"status of answers", func(p *agentv1.Plan, n int64) { p.Answer.Status = uint32(n) }, []int64{0, 200, 599},
			[]int64{199, 600}},
		{"authorities", manyAuthorities, []int64{1, wire.MaxAuthorities}, []int64{wire.MaxAuthorities + 1}},
		{"bytes of an authority", func(p *agentv1.Plan, n int64) {
			p.Authorities[0].Certificates = append(p.Authorities[0].Certificates, make([]byte,
				n-int64(len(p.Authorities[0].Certificates)))...)
		}, []int64{wire.MaxAuthorityBytes}, []int64{wire.MaxAuthorityBytes + 1}},
		{"targets", manyTargets, []int64{1, wire.MaxTargets}, []int64{0, wire.MaxTargets + 1}},
	})
}

// manyAuthorities leaves the first one of the plan, which its targets trust, and adds others.
func manyAuthorities(p *agentv1.Plan, n int64) {
	for i := int64(1); i < n; i++ {
		p.Authorities = append(p.Authorities, &agentv1.Authority{Name: strconv.FormatInt(i, 10),
			Certificates: p.Authorities[0].GetCertificates()})
	}
}

func manyTargets(p *agentv1.Plan, n int64) {
	p.Targets = nil
	for i := range n {
		p.Targets = append(p.Targets,
			&agentv1.Target{Id: strconv.Itoa(int(i)), Kind: "k", Family: "IPv4", Protocol: "http",
				Address: "http://198.18.0.1"})
	}
}

func TestTextsOfAPlanAtTheirBounds(t *testing.T) {
	of := func(n int) string { return strings.Repeat("a", n) }
	name := []string{of(1), of(253)}
	long := []string{of(254), "a\x7f", "a\x1f", "a\xff"}
	check(t, planMessage, parsePlan, []edge[*agentv1.Plan, string]{
		{"UID", func(p *agentv1.Plan, s string) { p.Key.TaskUid = s }, []string{of(1), of(64), "aZ09.-_"}, []string{"",
			of(65), "a/b", "a b"}},
		{"kind of task", func(p *agentv1.Plan, s string) { p.TaskKind = s }, append(name, ""), long},
		{"name of task", func(p *agentv1.Plan, s string) { p.TaskName = s }, append(name, ""), long},
		{"pod", func(p *agentv1.Plan, s string) { p.Pod = s }, name, append(long, "")},
		{"target", func(p *agentv1.Plan, s string) { p.Targets[0].Id = s }, []string{of(1), of(1024)}, []string{"",
			of(1025), "a\x07"}},
		{"pod of a target", func(p *agentv1.Plan, s string) { p.Targets[0].Pod = s }, append(name, ""), long},
		{"trust", func(p *agentv1.Plan, s string) { p.Targets[2].Trust, p.Authorities[0].Name = s, s }, name, long},
		{"authority", func(p *agentv1.Plan, s string) {
			p.Authorities = append(p.Authorities, &agentv1.Authority{Name: s,
				Certificates: p.Authorities[0].GetCertificates()})
		}, name, append(long, "")},
		{"who may answer", func(p *agentv1.Plan, s string) { p.Targets[0].Answer = s },
			[]string{"", string(target.OnePod), string(target.Backends), string(target.Anyone)}, []string{"Nobody"}},
		{"way to connect", func(p *agentv1.Plan, s string) { p.Load.Connection = s }, []string{"", "new", "keepalive",
			"both"}, []string{"sometimes"}},
		{"address", func(p *agentv1.Plan, s string) { p.Targets[0].Address = s },
			[]string{"http://198.18.1.2", "http://198.18.1.2:1/x?y=z", "http://198.18.1.2:65535",
				"http://198.18.1.2/" + of(2048-len("http://198.18.1.2/"))},
			[]string{"", "http://198.18.1.2/" + of(2049-len("http://198.18.1.2/")), "http://198.18.1.2:80/#x",
				"http:198.18.1.2", "http://:80",
				"http://198.18.1.2:0", "http://198.18.1.2:65536", "http://u@198.18.1.2", "http://[::1",
				"tcp://198.18.1.2:80"}},
		{"address of a connection alone", func(p *agentv1.Plan, s string) { p.Targets[4].Address = s },
			[]string{"tcp://198.18.1.2:1"}, []string{"tcp://198.18.1.2", "tcp://198.18.1.2:0", "http://198.18.1.2:80"}},
	})
	if message := planMessage(); true {
		message.Targets[0].Pod, message.Targets[0].Answer = "", string(target.OnePod)
		if parsePlan(message) == nil {
			t.Error("a target for one pod is taken though it names none")
		}
	}
}

func TestCountsOfAReportAtTheirBounds(t *testing.T) {
	// Of five requests four were sent, two of them over reused connections, and two succeeded; one of the reused ones
	// was closed.
	path := func(r *agentv1.AgentReport) *agentv1.Path { return r.Paths[0] }
	check(t, reportMessage, parseReport, []edge[*agentv1.AgentReport, uint64]{
		{"status 200 beside one of 503", func(r *agentv1.AgentReport,
			n uint64) {
			path(r).Statuses = map[int32]uint64{200: n, 503: 1}
		}, []uint64{1, 2, 3}, []uint64{0, 4}},
		{"status", func(r *agentv1.AgentReport, n uint64) { path(r).Statuses = map[int32]uint64{int32(n): 1} },
			[]uint64{100, 999}, []uint64{99, 1000}},
		{"a peer beside one of another", func(r *agentv1.AgentReport,
			n uint64) {
			path(r).Peers = map[string]uint64{"b": n, "c": 1}
		}, []uint64{1, 2, 3}, []uint64{0, 4}},
		{"failures", func(r *agentv1.AgentReport, n uint64) { path(r).Failures[1].Count = n }, []uint64{1}, []uint64{0,
			2, math.MaxUint64}},
		{"requests without an outcome", func(r *agentv1.AgentReport, n uint64) {
			path(r).Failures = path(r).GetFailures()[:2-n]
		}, []uint64{0}, []uint64{1, 2}},
		{"missed", func(r *agentv1.AgentReport, n uint64) { path(r).Missed = n }, []uint64{1}, []uint64{0, 2}},
		{"timed by the kernel", func(r *agentv1.AgentReport, n uint64) { path(r).Kernel = n }, []uint64{0, 2},
			[]uint64{3}},
		{"attempts that were sent again, each in five segments", func(r *agentv1.AgentReport,
			n uint64) {
			path(r).Retransmits, path(r).Retransmitted = 5, n
		}, []uint64{0, 4}, []uint64{5}},
		{"segments that were sent again in two attempts", func(r *agentv1.AgentReport,
			n uint64) {
			path(r).Retransmits = n
		}, []uint64{2, 9}, []uint64{1}},
		{"reused", func(r *agentv1.AgentReport, n uint64) { path(r).Reused = n }, []uint64{1, 4}, []uint64{0, 5}},
		{"closed, of all four reused", func(r *agentv1.AgentReport, n uint64) { path(r).Reused, path(r).Closed = 4, n },
			[]uint64{0, 2}, []uint64{3}},
		{"closed, of one reused", func(r *agentv1.AgentReport, n uint64) { path(r).Reused, path(r).Closed = 1, n },
			[]uint64{0, 1}, []uint64{2}},
		{"idle resets", func(r *agentv1.AgentReport, n uint64) { path(r).IdleResets, path(r).IdleCloses = n, 0 },
			[]uint64{0, 4}, []uint64{5, math.MaxUint64}},
		{"idle closes", func(r *agentv1.AgentReport, n uint64) { path(r).IdleResets, path(r).IdleCloses = 0, n },
			[]uint64{0, 4}, []uint64{5, math.MaxUint64}},
		{"idle closes beside three resets", func(r *agentv1.AgentReport, n uint64) {
			path(r).IdleResets,
				path(r).IdleCloses = 3, n
		}, []uint64{0, 1}, []uint64{2, math.MaxUint64}},
		{"idle resets of the persistent stream", func(r *agentv1.AgentReport, n uint64) {
			path(r).Persistent.IdleResets,
				path(r).Persistent.IdleCloses = n, 0
		}, []uint64{0, 4}, []uint64{5}},
		{"times that a phase was passed", func(r *agentv1.AgentReport, n uint64) { path(r).Phases[0].Count = n },
			[]uint64{1, 2}, []uint64{0, 3}},
		{"examples", func(r *agentv1.AgentReport, n uint64) { path(r).Failures[0].Examples = make([]string, n) },
			[]uint64{0, 3}, []uint64{4}},
		{"bytes of an example", func(r *agentv1.AgentReport, n uint64) {
			path(r).Failures[0].Examples = []string{strings.Repeat("a", int(n))}
		},
			[]uint64{0, 1, wire.MaxExampleBytes}, []uint64{wire.MaxExampleBytes + 1}},
		{"paths", func(r *agentv1.AgentReport, n uint64) {
			none := empty()
			r.Paths = nil
			for i := range n {
				r.Paths = append(r.Paths, &agentv1.Path{Latency: none, Response: none, Lag: none,
					TargetId: strconv.Itoa(int(i))})
			}
		}, []uint64{0, wire.MaxTargets}, []uint64{wire.MaxTargets + 1}},
		{"peers", func(r *agentv1.AgentReport, n uint64) {
			agent := agentReport()
			p := &agent.Paths[0]
			p.Persistent, p.Statuses, p.Peers = nil, nil, map[string]uint64{}
			p.Sent, p.Scheduled, p.Failures[1].Count = wire.MaxTargets+2, wire.MaxTargets+3, wire.MaxTargets-1
			for range wire.MaxTargets - 2 {
				p.Lag.Record(time.Millisecond)
			}
			for i := range n {
				p.Peers[strconv.FormatUint(i, 10)] = 1
			}
			r.Paths = wire.Report(agent).Paths
		}, []uint64{0, 1, wire.MaxTargets}, []uint64{wire.MaxTargets + 1}},
	})
}

func TestMeasurementsOfAReportAtTheirBounds(t *testing.T) {
	check(t, reportMessage, parseReport, []edge[*agentv1.AgentReport, float64]{
		{"largest CPU use", func(r *agentv1.AgentReport, n float64) { r.Resources.MaxCpuPercent = n }, []float64{0,
			1e6}, []float64{-1e-9, 1e6 + 1, math.NaN(), math.Inf(1)}},
		{"mean CPU use", func(r *agentv1.AgentReport, n float64) { r.Resources.MeanCpuPercent = n }, []float64{0, 1e6},
			[]float64{-1e-9, 1e6 + 1, math.NaN(), math.Inf(1)}},
		{"cores", func(r *agentv1.AgentReport, n float64) { r.Observer.QuotaCores = n }, []float64{0, 1e6},
			[]float64{-1e-9, 1e6 + 1, math.NaN(), math.Inf(1)}},
		{"throttled of twenty periods", func(r *agentv1.AgentReport,
			n float64) {
			r.Observer.ThrottledPeriods = uint64(n)
		}, []float64{0, 20}, []float64{21}},
		{"throttled time", func(r *agentv1.AgentReport,
			n float64) {
			r.Observer.Throttled = durationpb.New(time.Duration(n))
		}, []float64{0, 1}, []float64{-1}},
		{"longest pause", func(r *agentv1.AgentReport,
			n float64) {
			r.Observer.LongestPause = durationpb.New(time.Duration(n))
		}, []float64{0, 1}, []float64{-1}},
		{"longest time in a phase, of 3 ms in all", func(r *agentv1.AgentReport,
			n float64) {
			r.Paths[0].Phases[0].Max = durationpb.New(time.Duration(n))
		},
			[]float64{0, 3e6}, []float64{-1, 3e6 + 1}},
		{"end of the round after its start", func(r *agentv1.AgentReport, n float64) {
			r.Ended = timestamppb.New(r.GetStarted().AsTime().Add(time.Duration(n)))
		},
			[]float64{0, 1}, []float64{-1}},
		{"end of a path after its start", func(r *agentv1.AgentReport, n float64) {
			p := r.Paths[0]
			p.Failures[0].Spans, p.Ended = nil, timestamppb.New(p.GetStarted().AsTime().Add(time.Duration(n)))
		}, []float64{0, 1}, []float64{-1}},
		{"last attempt of a path of a second", func(r *agentv1.AgentReport, n float64) {
			r.Paths[0].Failures[0].Spans[0].Last = durationpb.New(time.Duration(n))
		},
			[]float64{2e8, 1e9}, []float64{2e8 - 1, 1e9 + 1}},
	})
	check(t, reportMessage, parseReport, []edge[*agentv1.AgentReport, string]{
		{"pod", func(r *agentv1.AgentReport, s string) { r.Pod = s }, []string{"a", strings.Repeat("a", 253)},
			[]string{"", strings.Repeat("a", 254)}},
		{"node", func(r *agentv1.AgentReport, s string) { r.Node = s }, []string{"", strings.Repeat("a", 253)},
			[]string{strings.Repeat("a", 254), "\n"}},
		{"peer", func(r *agentv1.AgentReport, s string) { r.Paths[0].Peers = map[string]uint64{s: 1} }, []string{"a",
			strings.Repeat("a", 253)}, []string{"", strings.Repeat("a", 254)}},
		{"phase", func(r *agentv1.AgentReport, s string) { r.Paths[0].Phases[0].Phase = s }, []string{"body"},
			[]string{"moon"}},
		{"target ID", func(r *agentv1.AgentReport, s string) { r.Paths[0].TargetId = s }, []string{"a",
			strings.Repeat("a", 1024)}, []string{"", strings.Repeat("a", 1025), "\n"}},
	})
	r := reportMessage()
	r.Started = nil
	if parseReport(r) == nil {
		t.Error("a round is taken that has an end and no start")
	}
}

// Agents know what they were sent, and report the ID of it. What else the plan knows of a target comes from the plan.
func TestWhatThePlanKnowsOfATargetReachesTheReport(t *testing.T) {
	atAgent, err := wire.ParsePlan(planMessage())
	if err != nil {
		t.Fatal(err)
	}
	made := report.AgentReport{Pod: "a", Node: "n1"}
	for _, known := range atAgent.Targets {
		made.Paths = append(made.Paths, report.Path{Target: known})
	}
	message := wire.Report(made)
	for _, path := range message.GetPaths() {
		if path.GetTarget() != nil {
			t.Errorf("the agent sends the target %v whole", path.GetTarget())
		}
	}
	back, err := readReport(message, plan())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range plan().Targets {
		if got := back.Paths[i].Target; got != want {
			t.Errorf("target %+v arrives as %+v", want, got)
		}
	}
}

// Agents of the release before send whole targets and no IDs beside them, and refuse a plan with a target of no kind.
func TestAgentsOfTheReleaseBeforeAreUnderstood(t *testing.T) {
	for i, sent := range planMessage().GetTargets() {
		if sent.GetKind() != string(plan().Targets[i].Kind) {
			t.Errorf("target %s is sent with the kind %q", sent.GetId(), sent.GetKind())
		}
	}
	message := reportMessage()
	for _, path := range message.GetPaths() {
		path.Target, path.TargetId = &agentv1.Target{Id: path.GetTargetId(), Kind: "k", Address: "anything"}, ""
	}
	got, err := readReport(message, plan())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(agentReport(), got, exact()); diff != "" {
		t.Errorf("report (-sent +received):\n%s", diff)
	}
}
