package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

func early(n uint64) report.Failure {
	return report.Failure{Outcome: probe.BadAnswer, Phase: probe.FirstByte, Count: n}
}

// A proxy may close a connection that nobody uses; a request that finds it closed is reset, or ends, before the first
// byte of an answer.
func TestWhatAConnectionThatAProxyClosedLeadsTo(t *testing.T) {
	proxied := func(closed uint64, failures ...report.Failure) report.AgentReport {
		ok := uint64(100)
		for _, f := range failures {
			ok -= f.Count
		}
		return agent("a", by(target.Ingress, "",
			withPersistent(path("x", 1000, 1000, 1000, time.Millisecond), reused(100, ok, closed, failures...))))
	}
	for _, c := range []struct {
		name  string
		agent report.AgentReport
		want  verdict.Result
	}{
		{"two resets before the first byte", proxied(2, reset(2)), verdict.Pass},
		{"two ends before the first byte", proxied(2, early(2)), verdict.Pass},
		{"one of each", proxied(2, reset(1), early(1)), verdict.Pass},
		{"two of each, and only two were closed", proxied(2, reset(2), early(2)), verdict.Fail},
		{"one more than were closed", proxied(2, reset(3)), verdict.Fail},
		{"two resets while connecting",
			proxied(2, report.Failure{Outcome: probe.Reset, Phase: probe.Connect, Count: 2}), verdict.Fail},
		{"two timeouts before the first byte",
			proxied(2, report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 2}), verdict.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := first(strict(), c.agent); got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// An Ingress answers in the name of a slow agent with a gateway's status alone, on both streams.
func TestGatewayStatusesOfBothStreams(t *testing.T) {
	slow := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	slow.Pod, slow.Node = "b", "node-b"
	bad := report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: 20}
	for status, want := range map[int]verdict.Result{502: verdict.ToolLimited, 500: verdict.Fail} {
		p := through(target.Ingress, path("service", 100, 100, 80, time.Millisecond, bad),
			map[int]uint64{200: 80, 504: 20}, "a", "c")
		stream := reused(100, 80, 0, bad)
		stream.Statuses = map[int]uint64{200: 80, status: 20}
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", withPersistent(p, stream)), slow},
			Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}}}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != want {
			t.Errorf("%d over the persistent connection: got %s: %s; want %s", status, got.Result, got.Reason, want)
		}
	}
}

// Protocols cost an agent differently: only paths of the same one are alike.
func TestPathsOfOtherProtocolsAreNotAlike(t *testing.T) {
	https := func(timeouts uint64) report.Path { return speaking(ofWhich(timeouts, 1000), target.HTTPS) }
	others := append(times(1, https(200)), times(3, https(0))...)
	if got := last(strict(), throttledAgent(paths(ofWhich(1000, 1000), others...)...)); got.Target != "x" ||
		got.Result != verdict.ToolLimited {
		t.Errorf("%s: got %s: %s; want tool-limited", got.Target, got.Result, got.Reason)
	}
}

// What an Ingress resets is no timeout of a slow asker.
func TestResetsAreNotPutDownToASlowAsker(t *testing.T) {
	p := through(target.Ingress, path("x", 100, 100, 80, time.Millisecond, reset(20)), nil, "c")
	if got := first(strict(), throttledAgent(p)); got.Result != verdict.Fail {
		t.Errorf("got %s: %s; want fail", got.Result, got.Reason)
	}
}

// Of 100 requests to two pods the slow one explains 50, give or take 15, and one.
func TestBoundOfWhatOneOfTwoSlowAgentsExplains(t *testing.T) {
	slow := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	slow.Pod, slow.Node = "b", "node-b"
	for late, want := range map[uint64]verdict.Result{66: verdict.ToolLimited, 67: verdict.Fail} {
		p := path("service", 100, 100, 100-late, time.Millisecond,
			report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: late})
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", p), slow},
			Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b"}}}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != want {
			t.Errorf("%d late: got %s: %s; want %s", late, got.Result, got.Reason, want)
		}
	}
	// One answer shows that pods answer that nothing leads to.
	p := path("service", 60, 60, 57, time.Millisecond,
		report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 3})
	p.Peers = map[string]uint64{"a": 56, "c": 1}
	v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", p), slow},
		Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a"},
			MayAlsoAnswer: []string{"b", "c"}}}},
		strict())
	if got := v.Agents[0].Paths[0]; got.Result != verdict.ToolLimited {
		t.Errorf("one answer of another pod: got %s: %s; want tool-limited", got.Result, got.Reason)
	}
}

// What is excused is no failure of the path.
func TestASingleExcusedRequestIsNoEvidence(t *testing.T) {
	mixed := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: n, Excused: 1}
	}
	if got := one(path("x", 10, 10, 7, time.Millisecond, mixed(3)), 10); got.Result != verdict.Fail ||
		got.Reason.Worst == nil || got.Reason.Worst.Count != 2 {
		t.Errorf("got %s: %s; want 2 timeouts", got.Result, got.Reason)
	}
	// Ten timeouts would make the stream stand out, nine do not.
	good := path("x", 1000, 1000, 1000, time.Millisecond)
	for timeouts, want := range map[uint64]verdict.Result{10: verdict.ToolLimited, 11: verdict.Fail} {
		x := by(target.Endpoint, "c", withPersistent(good, reused(100, 100-timeouts, 0, mixed(timeouts))))
		if got := last(strict(),
			throttledAgent(paths(x,
				times(4, by(target.Endpoint, "c",
					withPersistent(good, reused(100, 100, 0))))...)...)); got.Result != want {
			t.Errorf("%d timeouts and one of them excused: got %s: %s; want %s", timeouts, got.Result, got.Reason, want)
		}
	}
}
