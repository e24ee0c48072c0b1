package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// lagging makes the agent late with the given number of the path's requests, and on time with the other sent requests.
func lagging(p report.Path, late uint64, by time.Duration) report.Path {
	for i := range p.Sent {
		if i < late {
			p.Lag.Record(by)
		} else {
			p.Lag.Record(50 * time.Microsecond)
		}
	}
	return p
}

// observed adds what the agent knows of itself.
func observed(a report.AgentReport, o report.Observer) report.AgentReport {
	a.Observer = o
	return a
}

// throttledAgent was stopped in 61 of its 100 periods.
func throttledAgent(paths ...report.Path) report.AgentReport {
	return observed(agent("a", paths...),
		report.Observer{Quota: 0.1, Periods: 100, ThrottledPeriods: 61, Throttled: 3200 * time.Millisecond})
}

// withPersistent adds a persistent stream to the path.
func withPersistent(p, stream report.Path) report.Path {
	p.Persistent = &stream
	return p
}

// reused returns a stream whose requests, except the first, went over the connection that the first had opened.
func reused(sent, ok, closed uint64, failures ...report.Failure) report.Path {
	p := path("x", sent, sent, ok, time.Millisecond, failures...)
	p.Reused, p.Closed = sent-1, closed
	return p
}

// speaking sets the protocol of the path.
func speaking(p report.Path, protocol target.Protocol) report.Path {
	p.Target.Protocol = protocol
	return p
}

func timedOut(n uint64) report.Failure {
	return report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: n}
}

func unsent(n uint64) report.Failure {
	return report.Failure{Outcome: probe.NotSent, Phase: probe.Connect, Count: n}
}

func refused(n uint64) report.Failure {
	return report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: n}
}

func reset(n uint64) report.Failure {
	return report.Failure{Outcome: probe.Reset, Phase: probe.FirstByte, Count: n}
}

// judged is a case whose one agent is a.
type judged struct {
	name  string
	agent report.AgentReport
	// rate is the expected one, 0 stands for 1; delay is the longest mean, 0 stands for 100 ms.
	rate  float64
	delay time.Duration
}

func (c judged) check(t *testing.T) {
	t.Helper()
	expect := verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond}
	if c.rate != 0 {
		expect.SuccessRate = c.rate
	}
	if c.delay != 0 {
		expect.MeanDelay = c.delay
	}
	e := report.Expected{Pod: "a", Node: "node-a"}
	for _, p := range c.agent.Paths {
		e.Targets = append(e.Targets, p.Target.ID)
	}
	golden(t, c.name, show(
		verdict.Judge(report.Round{Expected: []report.Expected{e}, Agents: []report.AgentReport{c.agent}},
			expect)))
}

func TestLimitedAgentIsNeitherGreenNorRed(t *testing.T) {
	good := path("x", 1000, 1000, 1000, time.Millisecond)
	cases := []judged{
		{name: "what passes on a throttled agent is tool-limited", agent: throttledAgent(good)},
		{name: "timeouts on a throttled agent are tool-limited",
			agent: throttledAgent(path("x", 100, 100, 95, time.Millisecond, timedOut(5)))},
		{name: "a mean delay too long on a throttled agent is tool-limited",
			agent: throttledAgent(path("x", 100, 100, 100, time.Second))},
		{name: "refusals on a throttled agent fail",
			agent: throttledAgent(path("x", 100, 100, 95, time.Millisecond, refused(5)))},
		{name: "refusals that miss the rate only together with timeouts are tool-limited", rate: 0.95,
			agent: throttledAgent(path("x", 100, 100, 90, time.Millisecond, refused(3), timedOut(7)))},
		{name: "refusals that miss the rate beside timeouts fail", rate: 0.95,
			agent: throttledAgent(path("x", 100, 100, 90, time.Millisecond, refused(6), timedOut(4)))},
		{name: "a failure of no known kind is not put down to a slow agent",
			agent: throttledAgent(path("x", 100, 100, 99, time.Millisecond,
				report.Failure{Outcome: probe.Other, Count: 1}))},
		{name: "a throttled agent that sent nothing has no data, and says why",
			agent: throttledAgent(path("x", 10, 0, 0, 0))},
		{name: "a throttled agent without a quota that can be read is limited all the same",
			agent: observed(agent("a", good),
				report.Observer{Periods: 100, ThrottledPeriods: 20, Throttled: time.Second})},
		{name: "throttling in one period in twenty is forgiven",
			agent: observed(agent("a", good), report.Observer{Quota: 1, Periods: 100, ThrottledPeriods: 5})},
		{name: "throttling in more than one period in twenty is not",
			agent: observed(agent("a", good),
				report.Observer{Quota: 1, Periods: 100, ThrottledPeriods: 6, Throttled: 180 * time.Millisecond})},
		{name: "a single throttled period is forgiven however few there were",
			agent: observed(agent("a", good), report.Observer{Quota: 1, Periods: 3, ThrottledPeriods: 1})},
		{name: "one path of a throttled agent fails for certain, so the agent fails",
			agent: throttledAgent(good, path("y", 10, 10, 0, 0, refused(10)))},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func TestLateAgentIsNotTrusted(t *testing.T) {
	good := func(n uint64) report.Path { return path("x", n, n, n, time.Millisecond) }
	const late = 40 * time.Millisecond
	cases := []judged{
		{name: "one late request in a thousand is forgiven", agent: agent("a", lagging(good(1000), 1, time.Second))},
		{name: "one late request in a hundred is forgiven", agent: agent("a", lagging(good(1000), 10, late))},
		{name: "more than one late request in a hundred is not", agent: agent("a", lagging(good(1000), 11, late))},
		{name: "the only late request of ten is forgiven", agent: agent("a", lagging(good(10), 1, late))},
		{name: "two late requests of ten are not", agent: agent("a", lagging(good(10), 2, late))},
		{name: "a late single request is forgiven", agent: agent("a", lagging(good(1), 1, late))},
		{name: "lateness within a tenth of the allowed delay is forgiven", delay: time.Second,
			agent: agent("a", lagging(good(100), 50, late))},
		{name: "lateness within 5 ms is forgiven however short the allowed delay", delay: 10 * time.Millisecond,
			agent: agent("a", lagging(good(100), 50, 4*time.Millisecond))},
		{name: "lateness beyond 5 ms is not where a short delay is allowed", delay: 10 * time.Millisecond,
			agent: agent("a", lagging(good(100), 50, 6*time.Millisecond))},
		{name: "lateness on one path counts among those of all",
			agent: agent("a", lagging(good(1000), 0, 0), lagging(path("y", 50, 50, 50, time.Millisecond), 10, late))},
		{name: "lateness on many requests of one path makes all paths doubtful",
			agent: agent("a", lagging(good(100), 0, 0), lagging(path("y", 100, 100, 100, time.Millisecond), 50, late))},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func TestWhatCouldNotBeSentIsNotTrusted(t *testing.T) {
	good := path("x", 1000, 1000, 1000, time.Millisecond)
	cases := []judged{
		{name: "requests missed on one path leave the others alone",
			agent: agent("a", good, path("y", 1000, 990, 990, time.Millisecond))},
		{name: "requests without a port make all paths doubtful",
			agent: observed(agent("a", good, path("y", 1000, 1000, 900, time.Millisecond, unsent(100))),
				report.Observer{Ports: 28232, Files: 100, FileLimit: 1000})},
		{name: "requests without a descriptor name the descriptors",
			agent: observed(agent("a", path("x", 1000, 1000, 900, time.Millisecond, unsent(100))),
				report.Observer{Ports: 28232, Files: 1000, FileLimit: 1024})},
		{name: "a path on which nothing can be sent leaves the others alone",
			agent: agent("a", good, path("y", 1000, 1000, 0, 0, unsent(1000)))},
		{name: "one request without a port in thousands is forgiven",
			agent: agent("a", path("x", 2000, 2000, 1999, time.Millisecond, unsent(1)))},
		{name: "refusals on a path with missed requests fail",
			agent: agent("a", path("x", 1000, 900, 800, time.Millisecond, refused(100)))},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func TestTimeoutsOfOnePathAreNotPutDownToTheAgent(t *testing.T) {
	named := func(id string, timeouts uint64) report.Path {
		return path(id, 100, 100, 100-timeouts, time.Millisecond, timedOut(timeouts))
	}
	cases := []judged{
		{name: "a path that times out alone on a throttled agent fails",
			agent: throttledAgent(named("x", 100), named("y", 0), named("z", 1))},
		{name: "a path that times out in part and alone on a throttled agent fails",
			agent: throttledAgent(named("x", 33), named("y", 3), named("z", 0))},
		{name: "a path that times out as others do on a throttled agent is tool-limited",
			agent: throttledAgent(named("x", 33), named("y", 4), named("z", 4))},
		{name: "a few timeouts on one path of a throttled agent are tool-limited",
			agent: throttledAgent(named("x", 9), named("y", 0), named("z", 0))},
		{name: "a path that times out beside one of another protocol is tool-limited",
			agent: throttledAgent(speaking(named("x", 100), target.HTTPS), speaking(named("y", 0), target.HTTP))},
		{name: "a path that times out beside one that was hardly tried is tool-limited",
			agent: throttledAgent(named("x", 100), path("y", 10, 10, 10, time.Millisecond))},
		{name: "a dead path that takes up all requests under way fails",
			agent: agent("a", path("x", 1000, 200, 0, 0, timedOut(200)),
				path("y", 1000, 1000, 1000, time.Millisecond))},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

// toPod sets the only pod that may answer on the path.
func toPod(p report.Path, pod string) report.Path {
	p.Target.Pod = pod
	return p
}

func TestSlowAnswersOfALimitedAgentAreNotPutDownToTheNetwork(t *testing.T) {
	late := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: n}
	}
	cases := []struct {
		name string
		path report.Path
	}{
		{"what a throttled agent answers in time passes", toPod(path("b", 100, 100, 100, time.Millisecond), "b")},
		{"answers of a throttled agent that are too slow are tool-limited",
			toPod(path("b", 100, 100, 100, time.Second), "b")},
		{"answers of a throttled agent that do not come are tool-limited",
			toPod(path("b", 100, 100, 50, time.Millisecond, late(50)), "b")},
		{"a kernel that answers too slowly for a throttled agent fails",
			speaking(toPod(path("b", 100, 100, 100, time.Second), "b"), target.TCP)},
		{"connections that a throttled agent does not take fail",
			toPod(path("b", 100, 100, 50, time.Millisecond, timedOut(50)), "b")},
		{"refusals of a throttled agent fail", toPod(path("b", 100, 100, 50, time.Millisecond, refused(50)), "b")},
		{"answers of another agent that do not come fail",
			toPod(path("c", 100, 100, 50, time.Millisecond, late(50)), "c")},
		{"answers that any agent may give and that do not come fail",
			path("any", 100, 100, 50, time.Millisecond, late(50))},
		{"answers that a throttled one of three may give and that do not come are tool-limited",
			path("service", 100, 100, 65, time.Millisecond, late(35))},
		{"answers that do not come more often than the throttled one of three explains fail",
			path("service", 100, 100, 40, time.Millisecond, late(60))},
		{"answers that any of three may give, of which no one is throttled, and that do not come fail",
			path("others", 100, 100, 65, time.Millisecond, late(35))},
	}
	backends := []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}},
		{Targets: []string{"others"}, Pods: []string{"a", "c", "d"}}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			limited := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
			limited.Pod, limited.Node = "b", "node-b"
			golden(t, c.name, show(verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", c.path), limited},
				Backends: backends},
				verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond})))
		})
	}
	t.Run("a dead path between two throttled agents fails", func(t *testing.T) {
		asks := throttledAgent(toPod(path("b", 100, 100, 0, 0, timedOut(100)), "b"),
			toPod(path("c", 100, 100, 100, time.Millisecond), "c"))
		answers := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
		answers.Pod, answers.Node = "b", "node-b"
		golden(t, "a dead path between two throttled agents fails",
			show(verdict.Judge(report.Round{Agents: []report.AgentReport{asks, answers}},
				verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond})))
	})
}

// through returns a path through the given kind of target. Answers of other statuses are counted as such, and the pods
// that answered are named.
func through(kind target.Kind, p report.Path, statuses map[int]uint64, answered ...string) report.Path {
	p.Target.Kind, p.Statuses, p.Peers = kind, statuses, map[string]uint64{}
	for _, pod := range answered {
		p.Peers[pod] = p.OK / uint64(len(answered))
	}
	return p
}

// A proxy ends connections itself: it answers in its own words for a slow agent behind it.
func TestWhatIsSaidForASlowAgentIsNotPutDownToWhoeverSaysIt(t *testing.T) {
	early := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.BadAnswer, Phase: probe.FirstByte, Count: n}
	}
	strange := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.BadAnswer, Phase: probe.Body, Count: n}
	}
	status := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: n}
	}
	good := func(failures ...report.Failure) report.Path {
		ok := uint64(100)
		for _, f := range failures {
			ok -= f.Count
		}
		return path("service", 100, 100, ok, time.Millisecond, failures...)
	}
	cases := []struct {
		name string
		path report.Path
	}{
		{"resets by a load balancer before a throttled one of three are tool-limited",
			through(target.LoadBalancer, good(reset(30)), nil, "a", "c")},
		{"connections that a load balancer closes before a throttled one of three are tool-limited",
			through(target.LoadBalancer, good(early(30)), nil, "a", "b", "c")},
		{"gateway timeouts of an Ingress before a throttled one of three are tool-limited",
			through(target.Ingress, good(status(20), reset(10)), map[int]uint64{200: 70, 504: 19, 502: 1}, "a", "c")},
		{"another status of an Ingress fails",
			through(target.Ingress, good(status(30)), map[int]uint64{200: 70, 504: 29, 404: 1}, "a", "c")},
		{"more resets by a load balancer than the throttled one of three explains fail",
			through(target.LoadBalancer, good(reset(60)), nil, "a", "c")},
		{"resets by a load balancer that leads one client to the throttled agent alone are tool-limited",
			through(target.LoadBalancer, good(reset(60)), nil, "b")},
		{"a load balancer that resets everything fails", through(target.LoadBalancer, good(reset(100)), nil)},
		{"answers of a stranger behind a load balancer fail",
			through(target.LoadBalancer, good(strange(30)), nil, "a", "c")},
		{"resets by a cluster address before a throttled one of three fail",
			through(target.ClusterIP, good(reset(30)), nil, "a", "c")},
		{"gateway timeouts of a cluster address before a throttled one of three fail",
			through(target.ClusterIP, good(status(30)), map[int]uint64{504: 30}, "a", "c")},
		{"late answers by a cluster address, of which the throttled one gave all, are more than it explains",
			through(target.ClusterIP, good(report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 60}),
				nil, "b")},
		{"connections that a load balancer does not take fail",
			through(target.LoadBalancer, good(timedOut(30)), nil, "a", "c")},
		{"a kept connection that a load balancer resets before a throttled one of three is tool-limited",
			withPersistent(through(target.LoadBalancer, good(), nil, "a", "c"), reused(10, 8, 0, reset(2)))},
	}
	backends := []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			limited := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
			limited.Pod, limited.Node = "b", "node-b"
			golden(t, c.name, show(verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", c.path), limited},
				Backends: backends},
				verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond})))
		})
	}
}

func TestShortAnswersShowNothingOfLargeOnes(t *testing.T) {
	answered := func(bytes uint64) report.Path {
		p := path("x", 100, 100, 100, time.Millisecond)
		p.Bytes = bytes
		return p
	}
	cases := []struct {
		name string
		path report.Path
		asks int
		want verdict.Result
	}{
		{"usual answers where no others are asked for", answered(20_000), 0, verdict.Pass},
		{"large ones", answered(801_000), 8000, verdict.Pass},
		{"large ones but for the first of an agent that heard late of the round", answered(92*8000 + 8*200), 8000,
			verdict.Pass},
		{"usual ones", answered(20_000), 8000, verdict.ToolLimited},
		{"usual ones after a while", answered(80*8000 + 20*200), 8000, verdict.ToolLimited},
		{"connections alone", speaking(answered(0), target.TCP), 8000, verdict.Pass},
		{"none", path("x", 100, 100, 0, 0, refused(100)), 8000, verdict.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", c.path)},
				Budget: report.RequestBudget{Asked: 10, Granted: 10, AnswerBytes: c.asks}},
				verdict.Expect{SuccessRate: 1})
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestKeptStreamIsJudgedApart(t *testing.T) {
	good := path("x", 100, 100, 100, time.Millisecond)
	fresh := path("x", 10, 10, 8, time.Millisecond, timedOut(2))
	silent := path("x", 10, 0, 0, 0)
	retransmitting := good
	retransmitting.Retransmits, retransmitting.Retransmitted = 50, 40
	cases := []judged{
		{name: "a kept stream that succeeds passes", agent: agent("a", withPersistent(good, reused(10, 10, 0)))},
		{name: "a kept stream that times out fails the path",
			agent: agent("a", withPersistent(good, reused(10, 8, 0, timedOut(2))))},
		{name: "kept connections that the other side closed count neither way",
			agent: agent("a", withPersistent(good, reused(10, 8, 2, reset(2))))},
		{name: "resets of kept connections beyond those closed count",
			agent: agent("a", withPersistent(good, reused(10, 5, 2, reset(5))))},
		{name: "kept requests that could not be sent or were cut off count neither way",
			agent: agent("a", withPersistent(good,
				reused(10, 8, 0, unsent(1), report.Failure{Outcome: probe.Aborted, Count: 1})))},
		{name: "a kept stream of which nothing was sent is no reason to fail",
			agent: agent("a", withPersistent(good, silent))},
		{name: "a kept stream without a reused connection proves nothing",
			agent: agent("a", withPersistent(good, fresh))},
		{name: "a kept stream of which nothing is left to judge is no reason to fail",
			agent: agent("a", withPersistent(good, reused(2, 0, 2, reset(2))))},
		{name: "timeouts of a kept stream on a throttled agent are tool-limited",
			agent: throttledAgent(withPersistent(good, reused(10, 8, 0, timedOut(2))))},
		{name: "refusals of a kept stream on a throttled agent fail",
			agent: throttledAgent(withPersistent(good, reused(10, 8, 0, refused(2))))},
		{name: "a kept stream that fails does not hide that the counted requests do",
			agent: agent("a", withPersistent(path("x", 100, 100, 90, time.Millisecond, refused(10)),
				reused(10, 8, 0, timedOut(2))))},
		{name: "retransmits of requests that succeed have no effect", agent: agent("a", retransmitting)},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func TestResultsWeighInTheirOrder(t *testing.T) {
	stopped := throttledAgent(path("x", 1000, 1000, 1000, time.Millisecond))
	stopped.Finished = false
	cases := []judged{
		{name: "tool-limited weighs more than a round stopped before its end", agent: stopped},
		{name: "tool-limited on one path weighs more than no data on another",
			agent: agent("a", path("x", 10, 0, 0, 0), path("y", 100, 90, 90, time.Millisecond))},
		{name: "a failure weighs more than tool-limited, whatever comes first",
			agent: agent("a", path("x", 100, 90, 90, time.Millisecond),
				path("y", 10, 10, 9, time.Millisecond, refused(1)))},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func TestPathIsJudgedByItself(t *testing.T) {
	cases := []struct {
		name string
		path report.Path
		want verdict.Result
	}{
		{"all succeed", path("x", 10, 10, 10, time.Millisecond), verdict.Pass},
		{"one times out", path("x", 10, 10, 9, time.Millisecond, timedOut(1)), verdict.Fail},
		{"some were not sent", path("x", 10, 9, 9, time.Millisecond), verdict.ToolLimited},
		{"nothing was sent", path("x", 10, 0, 0, 0), verdict.NoData},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict.JudgePath(c.path, verdict.Expect{SuccessRate: 1}); got.Result != c.want ||
				(c.want == verdict.Pass) != got.Reason.IsZero() {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}
