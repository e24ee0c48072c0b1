package verdict_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// rounds is how many random rounds each property is tried on.
const rounds = 300

// draw makes a round of some agents that reach each other's pods and a Service, in which a few things go wrong. limits
// says whether agents may be.
func draw(random *rand.Rand, limits bool) report.Round {
	odds := func(n int) bool { return random.IntN(n) == 0 }
	agents := 2 + random.IntN(4)
	r := report.Round{}
	for i := range agents {
		pod := fmt.Sprintf("p%d", i)
		e := report.Expected{Pod: pod, Node: "n" + pod, Requests: 30, Persistent: 3}
		a := report.AgentReport{Pod: pod, Node: "n" + pod, Finished: !odds(30)}
		for k := range agents + 1 {
			t := target.Target{ID: fmt.Sprintf("AgentPodV4IP_p%d", k), Kind: target.Endpoint, Family: topology.IPv4,
				Answer: target.OnePod, Pod: fmt.Sprintf("p%d", k)}
			if k == agents {
				kind := []target.Kind{target.ClusterIP, target.LoadBalancer}[random.IntN(2)]
				t = target.Target{ID: "Service", Kind: kind, Family: topology.IPv4, Answer: target.Backends}
			}
			p := drawStream(random, t, 30)
			if !odds(20) {
				kept := drawStream(random, t, 3)
				kept.Reused = uint64(random.IntN(int(kept.Sent) + 1))
				p.Persistent = &kept
			}
			a.Paths, e.Targets = append(a.Paths, p), append(e.Targets, t.ID)
		}
		if limits && odds(4) {
			a.Observer = report.Observer{Periods: 100, ThrottledPeriods: 50}
		}
		if change := (report.Change{Pod: pod, Node: a.Node, Kind: report.Deleted}); odds(8) {
			r.Churn = append(r.Churn, change)
			if odds(2) {
				a.Finished, a.StoppedWhy, a.StoppedBy = false, "its pod was deleted", &change
			}
		}
		r.Expected = append(r.Expected, e)
		if !odds(20) {
			r.Agents = append(r.Agents, a)
			continue
		}
		r.Missing = append(r.Missing, report.Missing{Pod: pod, Node: a.Node, Reason: "no answer", Excused: odds(2)})
	}
	return r
}

func drawStream(random *rand.Rand, t target.Target, due uint64) report.Path {
	p := report.Path{Target: t, Scheduled: due, Sent: due, OK: due}
	for random.IntN(6) == 0 && p.OK > 0 {
		f := report.Failure{Count: 1 + random.Uint64N(p.OK)}
		f.Outcome = []probe.Outcome{probe.Timeout, probe.Refused, probe.Reset, probe.NotSent,
			probe.Aborted}[random.IntN(5)]
		f.Phase = []probe.Phase{probe.Connect, probe.FirstByte}[random.IntN(2)]
		if random.IntN(2) == 0 && f.Outcome != probe.NotSent && f.Outcome != probe.Aborted {
			f.Excused = f.Count
		}
		p.OK -= f.Count
		p.Failures = append(p.Failures, f)
	}
	if random.IntN(20) == 0 {
		missed := random.Uint64N(p.OK + 1)
		p.OK, p.Sent, p.Missed = p.OK-missed, p.Sent-missed, missed
	}
	return p
}

// try draws rounds and hands each to the property, with a copy that it may change.
func try(t *testing.T, limits bool, property func(random *rand.Rand, whole, changed report.Round) error) {
	t.Helper()
	for seed := range uint64(rounds) {
		whole, changed := draw(rand.New(rand.NewPCG(seed, 1)), limits), draw(rand.New(rand.NewPCG(seed, 1)), limits)
		if err := property(rand.New(rand.NewPCG(seed, 2)), whole, changed); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, show(verdict.Judge(whole, strict())))
		}
	}
}

// rank orders results, the worst last.
func rank(r verdict.Result) int {
	return slices.Index([]verdict.Result{verdict.Pass, verdict.Void, verdict.NoData, verdict.ToolLimited, verdict.Fail},
		r)
}

func shuffle[T any](random *rand.Rand, all []T) {
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

func TestOrderNeverMatters(t *testing.T) {
	try(t, true, func(random *rand.Rand, whole, changed report.Round) error {
		shuffle(random, changed.Agents)
		shuffle(random, changed.Expected)
		shuffle(random, changed.Missing)
		for i := range changed.Expected {
			shuffle(random, changed.Expected[i].Targets)
		}
		for i := range changed.Agents {
			shuffle(random, changed.Agents[i].Paths)
			for j := range changed.Agents[i].Paths {
				shuffle(random, changed.Agents[i].Paths[j].Failures)
			}
		}
		if diff := cmp.Diff(verdict.Judge(whole, strict()), verdict.Judge(changed, strict())); diff != "" {
			return fmt.Errorf("in another order (-whole +shuffled):\n%s", diff)
		}
		return nil
	})
}

// somePath returns one of the round's paths, or the stream beside it; nil if there is none.
func somePath(random *rand.Rand, r report.Round) *report.Path {
	if len(r.Agents) == 0 {
		return nil
	}
	a := r.Agents[random.IntN(len(r.Agents))]
	p := &a.Paths[random.IntN(len(a.Paths))]
	if p.Persistent != nil && random.IntN(3) == 0 {
		return p.Persistent
	}
	return p
}

func TestAFailureNeverImprovesAVerdict(t *testing.T) {
	for _, limits := range []bool{false, true} {
		try(t, limits, func(random *rand.Rand, whole, changed report.Round) error {
			p := somePath(random, changed)
			if p == nil || p.OK == 0 {
				return nil
			}
			n := 1 + random.Uint64N(p.OK)
			p.OK -= n
			p.Failures = append(p.Failures,
				report.Failure{Outcome: []probe.Outcome{probe.Timeout, probe.Refused}[random.IntN(2)],
					Phase: probe.Connect, Count: n})
			before, after := verdict.Judge(whole, strict()), verdict.Judge(changed, strict())
			// Beside a limit, further failures can make it the reason of others: then the worst is what could not be
			// told.
			limited := after.Result == verdict.ToolLimited
			if rank(after.Result) < rank(before.Result) && !limited {
				return fmt.Errorf("%d failures on %s make %s of %s", n, p.Target.ID, after.Result, before.Result)
			}
			return nil
		})
	}
}

func TestTakingMeasurementsAwayNeverMakesAPass(t *testing.T) {
	ways := map[string]func(*rand.Rand, *report.Round){
		"an agent's report": func(random *rand.Rand, r *report.Round) {
			if len(r.Agents) > 0 {
				i := random.IntN(len(r.Agents))
				r.Agents = slices.Delete(r.Agents, i, i+1)
			}
		},
		"a path": func(random *rand.Rand, r *report.Round) {
			if len(r.Agents) > 0 {
				// This holds for a stopped agent too: agents report all of their paths from their first moment on.
				if a := &r.Agents[random.IntN(len(r.Agents))]; len(a.Paths) > 0 {
					i := random.IntN(len(a.Paths))
					a.Paths = slices.Delete(a.Paths, i, i+1)
				}
			}
		},
		"a persistent stream": func(random *rand.Rand, r *report.Round) {
			if p := somePath(random, *r); p != nil {
				p.Persistent = nil
			}
		},
		"requests that failed": func(random *rand.Rand, r *report.Round) {
			if p := somePath(random, *r); p != nil {
				n := p.Sent - p.OK
				p.Sent, p.Missed, p.Failures = p.OK, p.Missed+n, nil
			}
		},
		"requests that never come due": func(random *rand.Rand, r *report.Round) {
			if p := somePath(random, *r); p != nil {
				p.Sent, p.Scheduled, p.Failures = p.OK, p.OK+p.Missed, nil
			}
		},
		"the end of an agent": func(random *rand.Rand, r *report.Round) {
			if len(r.Agents) > 0 {
				r.Agents[random.IntN(len(r.Agents))].Finished = false
			}
		},
	}
	for name, take := range ways {
		t.Run(name, func(t *testing.T) {
			try(t, true, func(random *rand.Rand, whole, changed report.Round) error {
				take(random, &changed)
				before, after := verdict.Judge(whole, strict()), verdict.Judge(changed, strict())
				if after.Result == verdict.Pass && before.Result != verdict.Pass {
					return fmt.Errorf("%s becomes a pass", before.Result)
				}
				return nil
			})
		})
	}
}

// Each result has a reason, and only a pass has none.
func TestEachResultHasItsReason(t *testing.T) {
	try(t, true, func(_ *rand.Rand, whole, _ report.Round) error {
		v := verdict.Judge(whole, strict())
		if (v.Result == verdict.Pass) != (len(v.Reasons) == 0) || v.Result == verdict.Void {
			return fmt.Errorf("the round is %s for %q", v.Result, v.Reasons)
		}
		for _, a := range v.Agents {
			if (a.Result == verdict.Pass) != a.Reason.IsZero() ||
				(a.Result == verdict.Pass) != (a.Reason.String() == "") {
				return fmt.Errorf("agent %s is %s for %q", a.Pod, a.Result, a.Reason)
			}
			for _, p := range a.Paths {
				if (p.Result == verdict.Pass) != p.Reason.IsZero() || rank(p.Result) < 0 {
					return fmt.Errorf("path %s of %s is %s for %q", p.Target, a.Pod, p.Result, p.Reason)
				}
			}
		}
		return nil
	})
}
