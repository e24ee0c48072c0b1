package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Requests that could not have timed out are no evidence that an agent is fast.
func TestRequestsThatEndedBeforeTheyCouldTimeOutAreNoEvidence(t *testing.T) {
	timeoutAt := func(phase probe.Phase, n uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: phase, Count: n}
	}
	connect := func(n uint64) report.Failure { return timeoutAt(probe.Connect, n) }
	x := func() report.Path { return path("x", 100, 100, 80, time.Millisecond, timeoutAt(probe.FirstByte, 20)) }
	const limited, fail = verdict.ToolLimited, verdict.Fail
	cases := []struct {
		name string
		// other is the only like path of one agent, and the path of another agent to the same pod.
		other           report.Path
		asker, answerer verdict.Result
	}{
		{"all succeed", path("y", 100, 100, 100, time.Millisecond), fail, fail},
		{"all are refused", path("y", 100, 100, 0, 0, refused(100)), limited, limited},
		{"most are refused", path("y", 100, 100, 49, time.Millisecond, refused(51)), limited, limited},
		{"half are refused", path("y", 100, 100, 50, time.Millisecond, refused(50)), fail, fail},
		{"most time out at connect", path("y", 100, 100, 49, time.Millisecond, connect(51)), limited, limited},
		{"half time out at connect", path("y", 100, 100, 50, time.Millisecond, connect(50)), limited, fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			asking := throttledAgent(x(), c.other)
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{asking}}, strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.asker {
				t.Errorf("the agent that asks is throttled: got %s: %s; want %s", got.Result, got.Reason, c.asker)
			}
			slow := throttledAgent(path("z", 100, 100, 100, time.Millisecond))
			slow.Pod, slow.Node = "z", "node-z"
			other := c.other
			other.Target.ID = "x"
			round := report.Round{Agents: []report.AgentReport{agent("a", toPod(x(), "z")),
				agent("b", toPod(other, "z")),
				slow}}
			if got := verdict.Judge(round, strict()).Agents[0].Paths[0]; got.Result != c.answerer {
				t.Errorf("the agent that answers is throttled: got %s: %s; want %s", got.Result, got.Reason, c.answerer)
			}
		})
	}
}

// A Service may lead all requests of a client to a slow agent where its spec says that it does not lead all to all
// alike.
func TestAnUnevenServiceMayLeadAllToSlowAgents(t *testing.T) {
	slow := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	slow.Pod, slow.Node = "b", "node-b"
	type peers map[string]uint64
	const limited, fail = verdict.ToolLimited, verdict.Fail
	const near = "trafficDistribution is PreferSameZone"
	for _, c := range []struct {
		name, uneven string
		lost         uint64
		peers        peers
		want         verdict.Result
	}{
		{"the slow one alone answered", near, 50, peers{"b": 50}, limited},
		{"the slow one alone answered, and nothing says that the Service is uneven", "", 50, peers{"b": 50}, fail},
		{"the slow one and another answered: half is explained", near, 66, peers{"b": 17, "c": 17}, limited},
		{"the slow one and another answered: more than half is not", near, 67, peers{"b": 17, "c": 16}, fail},
		{"the slow one did not answer: an even share is explained", near, 38, peers{"c": 62}, limited},
		{"the slow one did not answer: more is not", near, 39, peers{"c": 61}, fail},
		{"all answered: an even share is explained", near, 38, peers{"a": 15, "b": 15, "c": 16, "d": 16}, limited},
		{"all answered: more is not", near, 39, peers{"a": 15, "b": 15, "c": 15, "d": 16}, fail},
		{"nobody answered", near, 100, nil, fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			late := report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: c.lost}
			p := path("service", 100, 100, 100-c.lost, time.Millisecond, late)
			p.Peers = c.peers
			set := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d"},
				UnevenWhy: c.uneven}
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", p), slow},
				Backends: []report.BackendSet{set}},
				strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// A limit that may be why a request timed out hides nothing of the delay of the others, on neither stream.
func TestATimeoutDoesNotHideALongDelay(t *testing.T) {
	for _, failed := range []uint64{0, 1} {
		slow := path("x", 100, 100, 100-failed, time.Second)
		if failed > 0 {
			slow.Failures = []report.Failure{timedOut(failed)}
		}
		fast := path("y", 100, 100, 100, time.Millisecond)
		well := path("x", 100, 100, 100, time.Millisecond)
		for name, x := range map[string]report.Path{"counted": slow, "persistent": withPersistent(well, slow)} {
			y := fast
			if name == "persistent" {
				y = withPersistent(fast, fast)
			}
			got := verdict.Judge(report.Round{Agents: []report.AgentReport{throttledAgent(x, y)}},
				strict()).Agents[0].Paths[0]
			if got.Result != verdict.Fail || got.Reason.Code != verdict.TooSlow {
				t.Errorf("%s, %d of 100 time out: got %s: %s; want fail for the delay", name, failed, got.Result,
					got.Reason)
			}
		}
	}
}

// Of many paths one is the worst by chance: it must have more timeouts than all have on average, by two standard
// deviations.
func TestTheWorstOfManyPathsIsNoEvidence(t *testing.T) {
	for timeouts, want := range map[uint64]verdict.Result{22: verdict.ToolLimited, 23: verdict.Fail} {
		// 120 of 800 requests time out on the others: of 100, 15 do on average, and 22.1 are two standard deviations
		// more.
		others := append(times(2, ofWhich(0, 100)), times(6, ofWhich(20, 100))...)
		throttled := throttledAgent(paths(ofWhich(timeouts, 100), others...)...)
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{throttled}}, strict())
		for _, p := range v.Agents[0].Paths {
			if p.Target == "x" && p.Result != want {
				t.Errorf("%d of 100 time out: got %s: %s; want %s", timeouts, p.Result, p.Reason, want)
			}
		}
	}
}
