package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// paths returns the paths of one agent: x first, then others named p0, p1 and so on, each with the given timeouts and
// requests.
func paths(x report.Path, others ...report.Path) []report.Path {
	all := []report.Path{x}
	for i, p := range others {
		p.Target.ID = fmt.Sprintf("p%d", i)
		all = append(all, p)
	}
	return all
}

func ofWhich(timeouts, of uint64) report.Path {
	return path("x", of, of, of-timeouts, time.Millisecond, timedOut(timeouts))
}

func times(n int, p report.Path) []report.Path {
	all := make([]report.Path, n)
	for i := range all {
		all[i] = p
	}
	return all
}

// A limit of the asking agent shows on all of its like paths. If enough of them are clean, the limit is not why others
// fail.
func TestALimitOfTheAskerShowsOnAllItsLikePaths(t *testing.T) {
	dead, clean := ofWhich(1000, 1000), ofWhich(0, 1000)
	join := func(all ...[]report.Path) (joined []report.Path) {
		for _, some := range all {
			joined = append(joined, some...)
		}
		return joined
	}
	cases := []struct {
		name   string
		x      report.Path
		others []report.Path
		want   verdict.Result
	}{
		{"four peers are reached, six are not", dead, join(times(4, clean), times(5, dead)), verdict.Fail},
		{"a quarter of the like requests is clean", dead, join(times(2, clean), times(6, dead)), verdict.Fail},
		{"less than a quarter of the like requests is clean", dead, join(times(2, clean), times(7, dead)),
			verdict.ToolLimited},
		{"a single path is clean", dead, join(times(1, clean), times(2, dead)), verdict.ToolLimited},
		{"a single path is clean and the next has a fifth", dead,
			join(times(1, clean), times(1, ofWhich(200, 1000)), times(1, dead)), verdict.Fail},
		{"a single path is clean and the next has a little more", dead,
			join(times(1, clean), times(1, ofWhich(201, 1000)), times(1, dead)), verdict.ToolLimited},
		{"clean paths with as many requests in all", dead, join(times(2, ofWhich(0, 500)), times(1, dead)),
			verdict.Fail},
		{"clean paths with too few requests are none", dead, join(times(4, ofWhich(0, 499)), times(1, dead)),
			verdict.ToolLimited},
		{"three clean ones of another protocol", dead, times(3, speaking(clean, target.HTTPS)), verdict.ToolLimited},
		{"the cleanest are those with the lowest rate, not with the fewest timeouts", dead,
			join(times(2, ofWhich(90, 2000)), times(2, ofWhich(80, 500)), times(2, dead)), verdict.Fail},
		{"the cleanest are those with the lowest rate, in whatever order", dead,
			join(times(2, dead), times(2, ofWhich(80, 500)), times(2, ofWhich(90, 2000))), verdict.Fail},
		{"of two like paths one is clean", dead, join(times(1, clean), times(1, dead)), verdict.ToolLimited},
		{"of one like path one is clean", dead, times(1, clean), verdict.Fail},
		{"of two like paths both have exactly a tenth", dead, times(2, ofWhich(100, 1000)), verdict.Fail},
		{"of two like paths both have a little more than a tenth", dead, times(2, ofWhich(101, 1000)),
			verdict.ToolLimited},
		{"no like path", dead, nil, verdict.ToolLimited},
		{"ten timeouts beside clean paths", ofWhich(10, 1000), times(3, clean), verdict.Fail},
		{"nine timeouts beside clean paths", ofWhich(9, 1000), times(3, clean), verdict.ToolLimited},
		{"20 timeouts and 180 that the end of the round cut off, beside clean paths",
			path("x", 200, 200, 0, 0, timedOut(20), aborted(180)), times(3, ofWhich(2, 20)), verdict.Fail},
		{"20 timeouts and 180 without a port, beside clean paths", path("x", 200, 200, 0, 0, timedOut(20), unsent(180)),
			times(3, ofWhich(2, 20)), verdict.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for limit, limited := range map[string]report.AgentReport{
				"throttled": throttledAgent(paths(c.x, c.others...)...),
				"late":      agent("a", paths(lagging(c.x, 500, time.Second), c.others...)...),
				"could not send": agent("a",
					append(paths(c.x, c.others...),
						speaking(path("z", 1000, 1000, 900, 0, unsent(100)), target.TCP))...),
				"throttled, mixed ": throttledAgent(append(paths(c.x, c.others...),
					speaking(path("z", 1000, 1000, 0, 0, timedOut(1000)), target.TCP))...),
			} {
				v := verdict.Judge(report.Round{Agents: []report.AgentReport{limited}}, verdict.Expect{SuccessRate: 1})
				for _, p := range v.Agents[0].Paths {
					if p.Target == "x" && p.Result != c.want {
						t.Errorf("%s: got %s: %s; want %s", limit, p.Result, p.Reason, c.want)
					}
				}
			}
		})
	}
}

func TestALongDelayOnOnePathIsNotPutDownToTheAsker(t *testing.T) {
	taking := func(n uint64, each time.Duration) report.Path { return path("x", n, n, n, each) }
	cases := []struct {
		name   string
		x      report.Path
		others []report.Path
		want   verdict.Result
	}{
		{"ten times as long as on clean paths", taking(100, time.Second), times(3, taking(100, 100*time.Millisecond)),
			verdict.Fail},
		{"not quite ten times as long", taking(100, time.Second), times(3, taking(100, 101*time.Millisecond)),
			verdict.ToolLimited},
		{"ten times as long as on two of eight", taking(100, time.Second),
			append(times(2, taking(100, 100*time.Millisecond)), times(6, taking(100, time.Second))...), verdict.Fail},
		{"ten times as long as on one of two", taking(100, time.Second),
			append(times(1, taking(100, 100*time.Millisecond)), times(1, taking(100, time.Second))...),
			verdict.ToolLimited},
		{"ten times as long as on clean paths with more requests", taking(100, time.Second),
			times(3, taking(1000, 100*time.Millisecond)), verdict.Fail},
		{"not quite ten times as long as on paths with more requests", taking(100, time.Second),
			times(3, taking(1000, 101*time.Millisecond)), verdict.ToolLimited},
		{"ten requests", taking(10, time.Second), times(3, taking(100, time.Millisecond)), verdict.Fail},
		{"nine requests", taking(9, time.Second), times(3, taking(100, time.Millisecond)), verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{throttledAgent(paths(c.x, c.others...)...)}},
				strict())
			for _, p := range v.Agents[0].Paths {
				if p.Target == "x" && p.Result != c.want {
					t.Errorf("got %s: %s; want %s", p.Result, p.Reason, c.want)
				}
			}
		})
	}
}

// A limit of the answering agent shows on the paths of all who ask it.
func TestALimitOfTheAnswererShowsOnAllWhoAskIt(t *testing.T) {
	late := func(n, of uint64) report.Path {
		return toPod(path("b", of, of, of-n, time.Millisecond,
			report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: n}), "b")
	}
	slow := toPod(path("b", 100, 100, 100, time.Second), "b")
	asking := func(pods string, p report.Path) (all []report.AgentReport) {
		for _, pod := range pods {
			all = append(all, agent(string(pod), p))
		}
		return all
	}
	other := func(edit func(*target.Target)) report.Path {
		p := late(0, 1000)
		edit(&p.Target)
		return p
	}
	cases := []struct {
		name string
		a    report.Path
		also []report.AgentReport
		want verdict.Result
	}{
		{"nobody else asks it", late(1000, 1000), nil, verdict.ToolLimited},
		{"another one reaches it", late(1000, 1000), asking("c", late(0, 1000)), verdict.Fail},
		{"another one reaches it, one does not", late(1000, 1000),
			append(asking("c", late(0, 1000)), asking("d", late(1000, 1000))...), verdict.ToolLimited},
		{"two others reach it, six do not", late(1000, 1000),
			append(asking("cd", late(0, 1000)), asking("efghij", late(1000, 1000))...), verdict.Fail},
		{"all others miss a tenth", late(1000, 1000), asking("cdef", late(100, 1000)), verdict.Fail},
		{"all others miss a little more", late(1000, 1000), asking("cdef", late(101, 1000)), verdict.ToolLimited},
		{"others reach it over another family", late(1000, 1000),
			asking("cdef", other(func(t *target.Target) { t.Family = "IPv6" })), verdict.ToolLimited},
		{"others reach it by another interface", late(1000, 1000),
			asking("cdef", other(func(t *target.Target) { t.Interface = "net1" })), verdict.ToolLimited},
		{"others reach it in another way", late(1000, 1000),
			asking("cdef", other(func(t *target.Target) { t.Kind = target.NodePort })), verdict.ToolLimited},
		{"others reach it by another protocol", late(1000, 1000),
			asking("cdef", other(func(t *target.Target) { t.Protocol = target.HTTPS })), verdict.ToolLimited},
		{"others reach another pod", late(1000, 1000),
			asking("cdef", toPod(other(func(t *target.Target) { t.ID = "c" }), "c")), verdict.ToolLimited},
		{"it is slow for this one alone", slow, asking("cdef", late(0, 100)), verdict.Fail},
		{"it is slow for all", slow, asking("cdef", slow), verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
			b.Pod, b.Node = "b", "node-b"
			v := verdict.Judge(report.Round{Agents: append([]report.AgentReport{agent("a", c.a), b}, c.also...)},
				strict())
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
	t.Run("its own report shows that it answers", func(t *testing.T) {
		b := throttledAgent(late(0, 1000))
		b.Pod, b.Node = "b", "node-b"
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", late(1000, 1000)), b}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != verdict.Fail {
			t.Errorf("got %s: %s; want a failure", got.Result, got.Reason)
		}
	})
	t.Run("both ends are limited, and only what the answerer can cause happens", func(t *testing.T) {
		a := throttledAgent(append(paths(late(1000, 1000)),
			paths(ofWhich(0, 1000), times(3, ofWhich(0, 1000))...)...)...)
		b := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
		b.Pod, b.Node = "b", "node-b"
		for _, p := range verdict.Judge(report.Round{Agents: []report.AgentReport{a, b}}, strict()).Agents[0].Paths {
			if p.Target == "b" && (p.Result != verdict.ToolLimited || p.Reason.Limit == nil) {
				t.Errorf("got %s: %s; want tool-limited", p.Result, p.Reason)
			}
		}
	})
	t.Run("both ends are limited, and others reach both", func(t *testing.T) {
		a := throttledAgent(append(paths(late(1000, 1000)),
			paths(ofWhich(0, 1000), times(3, ofWhich(0, 1000))...)...)...)
		b := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
		b.Pod, b.Node = "b", "node-b"
		for _, p := range verdict.Judge(report.Round{Agents: append(asking("cde", late(0, 1000)), a, b)},
			strict()).Agents[0].Paths {
			if p.Target == "b" && p.Result != verdict.Fail {
				t.Errorf("got %s: %s; want a failure", p.Result, p.Reason)
			}
		}
	})
}

// Streams over persistent connections are compared with each other, not with counted requests.
func TestLimitsOfPersistentStreams(t *testing.T) {
	good := path("x", 1000, 1000, 1000, time.Millisecond)
	with := func(stream report.Path) report.Path {
		return by(target.Endpoint, "c", withPersistent(good, stream))
	}
	clean := with(reused(100, 100, 0))
	slow := path("x", 100, 100, 100, time.Second)
	slow.Reused = 99
	cases := []struct {
		name string
		x    report.Path
		like report.Path
		want verdict.Result
	}{
		{"its stream times out alone", with(reused(100, 0, 0, timedOut(100))), clean, verdict.Fail},
		{"all streams time out", with(reused(100, 0, 0, timedOut(100))), with(reused(100, 0, 0, timedOut(100))),
			verdict.ToolLimited},
		{"its stream is slow alone", with(slow), clean, verdict.Fail},
		{"all streams are slow", with(slow), with(slow), verdict.ToolLimited},
		{"the others have no stream", with(slow), good, verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{throttledAgent(paths(c.x,
				times(4, c.like)...)...)}},
				strict())
			for _, p := range v.Agents[0].Paths {
				if p.Target == "x" && p.Result != c.want {
					t.Errorf("got %s: %s; want %s", p.Result, p.Reason, c.want)
				}
			}
		})
	}
}
