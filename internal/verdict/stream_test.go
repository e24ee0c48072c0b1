package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// by sets the kind of the path, and the pod behind it.
func by(kind target.Kind, pod string, p report.Path) report.Path {
	p.Target.Kind, p.Target.Pod = kind, pod
	return p
}

// idle adds connections that the other side ended while idle.
func idle(p report.Path, resets, closes uint64) report.Path {
	p.IdleResets, p.IdleCloses = resets, closes
	return p
}

// used sets how many requests of the stream went over a connection that was open.
func used(p report.Path, reused, closed uint64) report.Path {
	p.Reused, p.Closed = reused, closed
	return p
}

func TestPersistentStream(t *testing.T) {
	good := path("x", 100, 100, 100, time.Millisecond)
	requests := func(ok uint64, failures ...report.Failure) report.Path {
		sent := ok
		for _, f := range failures {
			sent += f.Count
		}
		return path("x", sent, sent, ok, time.Millisecond, failures...)
	}
	slow := path("x", 10, 10, 10, 101*time.Millisecond)
	cases := []struct {
		name   string
		stream report.Path
		// direct is the result on the way to a pod, proxied that through a load balancer.
		direct, proxied verdict.Result
	}{
		{"every request finds the connection of the one before", used(requests(10), 9, 0), verdict.Pass, verdict.Pass},
		{"the mean delay is as long as allowed", used(path("x", 10, 10, 10, 100*time.Millisecond), 9, 0), verdict.Pass,
			verdict.Pass},
		{"the mean delay is too long", used(slow, 9, 0), verdict.Fail, verdict.Fail},
		{"a request finds its connection reset", used(requests(9, reset(1)), 9, 1), verdict.Fail, verdict.Pass},
		{"a request finds its connection reset, another is reset amid its answer", used(requests(8, reset(2)), 9, 1),
			verdict.Fail, verdict.Fail},
		{"99 of 100 requests find their connection reset", used(requests(1, reset(99)), 99, 99), verdict.Fail,
			verdict.Pass},
		{"a connection is reset while idle", idle(used(requests(10), 8, 0), 1, 0), verdict.Fail, verdict.Pass},
		{"a connection is closed while idle", idle(used(requests(10), 8, 0), 0, 1), verdict.Fail, verdict.Pass},
		{"no connection lasts until the next request", used(requests(10), 0, 0), verdict.Fail, verdict.Pass},
		{"two requests, and no connection lasts", used(requests(2), 0, 0), verdict.Fail, verdict.Pass},
		{"one of three requests finds a connection", used(requests(3), 1, 0), verdict.Pass, verdict.Pass},
		{"a single request", used(requests(1), 0, 0), verdict.Pass, verdict.Pass},
		{"all first connections time out", used(requests(0, timedOut(10)), 0, 0), verdict.Fail, verdict.Fail},
		{"all requests are missed", report.Path{Scheduled: 10, Missed: 10}, verdict.NoData, verdict.NoData},
		{"nothing came due", report.Path{}, verdict.NoData, verdict.NoData},
		{"a third is sent, the rest missed",
			func() report.Path { p := used(requests(4), 3, 0); p.Scheduled, p.Missed = 12, 8; return p }(),
			verdict.Pass, verdict.Pass},
		{"less than a third is sent, the rest missed",
			func() report.Path { p := used(requests(3), 2, 0); p.Scheduled, p.Missed = 12, 9; return p }(),
			verdict.ToolLimited, verdict.ToolLimited},
		{"less than a third is left, the rest could not be sent", used(requests(3, unsent(9)), 2, 0),
			verdict.ToolLimited, verdict.ToolLimited},
		{"less than a third is left, the rest was cut off", used(requests(3, aborted(9)), 2, 0), verdict.NoData,
			verdict.NoData},
		{"less than a third is left, the rest is excused", used(requests(3, excused(9)), 2, 0), verdict.Void,
			verdict.Void},
		{"all is excused", requests(0, excused(12)), verdict.Void, verdict.Void},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for kind, want := range map[target.Kind]verdict.Result{target.Endpoint: c.direct,
				target.ClusterIP: c.direct, target.NodePort: c.direct,
				target.LoadBalancer: c.proxied, target.Ingress: c.proxied} {
				got := verdict.JudgePath(by(kind, "", withPersistent(good, c.stream)), strict())
				if got.Result != want || got.Reason.Persistent != (want != verdict.Pass) {
					t.Errorf("%s: got %s: %s; want %s", kind, got.Result, got.Reason, want)
				}
			}
			got := verdict.JudgePath(by("", "b", withPersistent(good, c.stream)), strict())
			if got.Result != c.direct {
				t.Errorf("a pod's own path of no known kind: got %s: %s; want %s", got.Result, got.Reason, c.direct)
			}
		})
	}
}

func TestPersistentStreamThatWasPlanned(t *testing.T) {
	tcp := func(p report.Path) report.Path { return speaking(p, target.TCP) }
	plain := by(target.Endpoint, "b", path("x", 100, 100, 100, time.Millisecond))
	stream := func(n uint64) report.Path {
		return withPersistent(plain, used(path("x", n, n, n, time.Millisecond), n-1, 0))
	}
	cases := []struct {
		name    string
		path    report.Path
		planned uint64
		// cut is the result where a change ended the agent.
		want, cut verdict.Result
	}{
		{"none was planned and none is there", plain, 0, verdict.Pass, verdict.Pass},
		{"one was planned and none is there, which agents report from their first moment on", plain, 10, verdict.NoData,
			verdict.NoData},
		{"one was planned for a target without requests", tcp(plain), 10, verdict.Pass, verdict.Pass},
		{"a third came due", stream(4), 12, verdict.Pass, verdict.Pass},
		{"less than a third came due", stream(3), 12, verdict.NoData, verdict.Void},
		{"nothing came due", withPersistent(plain, report.Path{}), 12, verdict.NoData, verdict.Void},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := planned(100, "a", "x")
			e.Persistent = c.planned
			v := verdict.Judge(report.Round{Expected: []report.Expected{e},
				Agents: []report.AgentReport{agent("a", c.path)}},
				strict())
			if v.Result != c.want {
				t.Errorf("got %s: %s; want %s", v.Result, v.Reasons, c.want)
			}
			cut := verdict.Judge(report.Round{Expected: []report.Expected{e},
				Agents: []report.AgentReport{cutShort(agent("a", c.path))}}, strict())
			if got := cut.Agents[0].Paths[0].Result; got != c.cut {
				t.Errorf("of an agent that was cut: got %s, want %s", got, c.cut)
			}
		})
	}
}

func TestAChangeExplainsOneConnectionLostWhileIdle(t *testing.T) {
	good := path("x", 100, 100, 100, time.Millisecond)
	lost := func(resets, closes uint64) report.Path {
		return withPersistent(good, idle(used(path("x", 10, 10, 10, time.Millisecond), 5, 0), resets, closes))
	}
	never := withPersistent(good, used(path("x", 3, 3, 3, time.Millisecond), 0, 0))
	cases := []struct {
		name  string
		path  report.Path
		churn []report.Change
		want  verdict.Result
	}{
		{"its own pod was deleted", by(target.Endpoint, "b", lost(0, 1)), deleted("b"), verdict.Pass},
		{"another pod was deleted", by(target.Endpoint, "b", lost(0, 1)), deleted("c"), verdict.Fail},
		{"its own pod was deleted, and two connections were lost", by(target.Endpoint, "b", lost(1, 1)), deleted("b"),
			verdict.Fail},
		{"its own pod was restarted twice", by(target.Endpoint, "b", lost(1, 1)), append(deleted("b"), deleted("b")...),
			verdict.Pass},
		{"a backend was deleted", by(target.ClusterIP, "", lost(0, 1)), deleted("c"), verdict.Pass},
		{"a pod was deleted that may answer too", by(target.ClusterIP, "", lost(0, 1)), deleted("e"), verdict.Pass},
		{"a pod was deleted that is no backend", by(target.ClusterIP, "", lost(0, 1)), deleted("d"), verdict.Fail},
		{"two connections never lasted, and one pod was deleted", by(target.Endpoint, "b", never), deleted("b"),
			verdict.Fail},
		{"two connections never lasted, and it was deleted twice", by(target.Endpoint, "b", never),
			append(deleted("b"), deleted("b")...), verdict.Pass},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Churn: c.churn, Agents: []report.AgentReport{agent("a", c.path)},
				Backends: []report.BackendSet{{Targets: []string{"x"}, Pods: []string{"b", "c"},
					MayAlsoAnswer: []string{"e"}}}},
				strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

func TestIdleConnectionsOfCountedRequests(t *testing.T) {
	requests := used(path("x", 100, 100, 100, time.Millisecond), 98, 0)
	cases := []struct {
		name  string
		path  report.Path
		churn []report.Change
		rate  float64
		want  verdict.Result
	}{
		{"reset", by(target.Endpoint, "b", idle(requests, 1, 0)), nil, 1, verdict.Fail},
		{"reset, within the rate", by(target.Endpoint, "b", idle(requests, 1, 0)), nil, 0.99, verdict.Pass},
		{"closed, as the agent that answers does with surplus ones", by(target.Endpoint, "b", idle(requests, 0, 5)),
			nil, 1, verdict.Pass},
		{"reset by a load balancer", by(target.LoadBalancer, "", idle(requests, 5, 0)), nil, 1, verdict.Pass},
		{"reset as their pod was deleted", by(target.Endpoint, "b", idle(requests, 5, 0)), deleted("b"), 1,
			verdict.Pass},
		{"reset as another pod was deleted", by(target.Endpoint, "b", idle(requests, 5, 0)), deleted("c"), 1,
			verdict.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Churn: c.churn, Agents: []report.AgentReport{agent("a", c.path)}},
				verdict.Expect{SuccessRate: c.rate})
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// No slow agent causes idle losses, and the rate allows some of them like other failures.
func TestIdleLossesAgainstTheRate(t *testing.T) {
	stream := func(losses uint64, failures ...report.Failure) report.Path {
		var failed uint64
		for _, f := range failures {
			failed += f.Count
		}
		return by(target.Endpoint, "b",
			withPersistent(path("x", 100, 100, 100, time.Millisecond),
				idle(used(path("x", 90, 90, 90-failed, time.Millisecond, failures...), 50, 0), losses, 0)))
	}
	cases := []struct {
		name  string
		agent report.AgentReport
		want  verdict.Result
	}{
		{"90 of 100 with ten lost", agent("a", stream(10)), verdict.Pass},
		{"90 of 101 with eleven lost", agent("a", stream(11)), verdict.Fail},
		{"90 of 101 with eleven lost by a throttled agent", throttledAgent(stream(11)), verdict.Fail},
		{"89 of 100 with ten lost and one timeout of a throttled agent", throttledAgent(stream(10, timedOut(1))),
			verdict.ToolLimited},
		{"89 of 101 with eleven lost and one timeout of a throttled agent", throttledAgent(stream(11, timedOut(1))),
			verdict.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{c.agent}}, verdict.Expect{SuccessRate: 0.9})
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// A persistent stream of a throttled agent has timeouts at the first byte, resets, and as many closed connections: the
// resets are the closed ones.
func TestTimeoutsAreNotTakenForClosedConnections(t *testing.T) {
	late := report.Failure{Outcome: timedOut(0).Outcome, Phase: reset(0).Phase, Count: 2}
	p := by(target.LoadBalancer, "",
		withPersistent(path("x", 100, 100, 100, time.Millisecond),
			used(path("x", 10, 10, 6, time.Millisecond, late, reset(2)), 9, 2)))
	v := verdict.Judge(report.Round{Agents: []report.AgentReport{throttledAgent(p)}}, strict())
	if got := v.Agents[0].Paths[0]; got.Result != verdict.ToolLimited {
		t.Errorf("got %s: %s", got.Result, got.Reason)
	}
}
