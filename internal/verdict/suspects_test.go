package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// A slow agent outside the backend set is a suspect if such agents answer at all.
func TestSlowAgentsThatMayAnswerInstead(t *testing.T) {
	slow := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	slow.Pod, slow.Node = "b", "node-b"
	late := report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 3}
	for _, c := range []struct {
		name  string
		peers map[string]uint64
		want  verdict.Result
	}{
		{"pods that nothing leads to answered", map[string]uint64{"a": 30, "c": 27}, verdict.ToolLimited},
		{"the one that requests are led to answered alone", map[string]uint64{"a": 57}, verdict.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := path("service", 60, 60, 57, time.Millisecond, late)
			p.Peers = c.peers
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", p), slow},
				Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a"},
					MayAlsoAnswer: []string{"b", "c"}}}},
				strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// A throttled agent lets some requests time out on every path. Excuses on one path make no other path look worse.
func TestWhatIsExcusedElsewhereIsStillCompared(t *testing.T) {
	late := func(void uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: 20, Excused: void}
	}
	paths := func(void uint64) []report.Path {
		var all []report.Path
		for _, id := range []string{"x", "y", "z"} {
			all = append(all, path(id, 100, 100, 80, time.Millisecond, late(void)))
		}
		return append(all, path("to", 100, 100, 80, time.Millisecond, late(0)))
	}
	for _, void := range []uint64{0, 20} {
		got := verdict.Judge(report.Round{Churn: aDeletion(),
			Agents: []report.AgentReport{throttledAgent(paths(void)...)}},
			strict())
		for _, p := range got.Agents[0].Paths {
			if p.Target == "to" && p.Result != verdict.ToolLimited {
				t.Errorf("%d of 20 timeouts on the other paths are excused: got %s: %s", void, p.Result, p.Reason)
			}
		}
	}
}

func aDeletion() []report.Change {
	return []report.Change{{Pod: "b", Node: "node-b", Kind: report.Deleted}}
}

// Only a request that opens a connection can time out while it does. On the path with slow answers each of these is
// opened again.
func TestTimeoutsAtConnectAreComparedByConnection(t *testing.T) {
	kept := func(id string, reused, connect, answer uint64) report.Path {
		p := path(id, 150, 150, 150-connect-answer, time.Millisecond,
			report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: connect})
		if connect == 0 {
			p.Failures = nil
		}
		if answer > 0 {
			p.Failures = append(p.Failures,
				report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: answer})
		}
		p.Reused = reused
		p.Target.Kind, p.Target.Answer, p.Target.Pod = target.Endpoint, target.OnePod, "c"
		return p
	}
	for _, c := range []struct {
		name   string
		reused uint64
		want   verdict.Result
	}{
		{"like paths opened few connections", 140, verdict.ToolLimited},
		{"like paths opened as many", 0, verdict.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := kept("own", 80, 12, 58)
			own.Target.Pod = "a"
			a := throttledAgent(own, kept("x", c.reused, 1, 0), kept("y", c.reused, 0, 0), kept("z", c.reused, 1, 0))
			got := verdict.Judge(report.Round{Agents: []report.AgentReport{a}}, strict())
			for _, p := range got.Agents[0].Paths {
				if p.Target == "own" && p.Result != c.want {
					t.Errorf("got %s: %s; want %s", p.Result, p.Reason, c.want)
				}
			}
		})
	}
}

// Timeouts at a throttled asker are no evidence against the slow agents that may answer. Answers of a proxy in their
// place are.
func TestTimeoutsOfALimitedAskerDoNotClearAnswerers(t *testing.T) {
	slow := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	slow.Pod, slow.Node = "b", "node-b"
	for _, c := range []struct {
		name    string
		asker   report.AgentReport
		gateway uint64
		want    verdict.Result
	}{
		{"a throttled asker, and as many answers of the proxy as the slow agent explains", throttledAgent(), 48,
			verdict.ToolLimited},
		{"a throttled asker, and one more", throttledAgent(), 49, verdict.Fail},
		{"an asker that is well", agent("a"), 48, verdict.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := path("ingress", 100, 100, 40-(c.gateway-40), time.Millisecond,
				report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 20},
				report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: c.gateway})
			p.Statuses = map[int]uint64{200: p.OK, 504: c.gateway}
			p.Target.Kind = target.Ingress
			c.asker.Paths = []report.Path{p}
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{c.asker, slow},
				Backends: []report.BackendSet{{Targets: []string{"ingress"}, Pods: []string{"b", "c", "d"}}}}, strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}
