package digest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/digest"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// planOf is a plan of a number of targets in four groups, of which the first two targets are always listed.
func planOf(targets, rows int) mesh.Plan {
	p := mesh.Plan{Agent: topology.Agent{Pod: "asker"},
		Load:   mesh.Load{PerSecond: 2, Duration: 5 * time.Second, Connection: mesh.Both},
		Detail: mesh.Detail{Listed: 2, Rows: rows, SuccessRate: 1, Groups: make([]uint32, targets)}}
	for i := range targets {
		t := target.Target{ID: fmt.Sprintf("t%03d", i), Kind: target.NodePort, Family: topology.IPv4,
			Protocol: target.HTTP, Answer: target.Backends}
		if i%2 == 0 {
			t.Kind, t.Answer, t.Pod = target.Endpoint, target.OnePod, fmt.Sprintf("p%03d", i)
		}
		p.Targets = append(p.Targets, t)
		p.Detail.Groups[i] = uint32(i % 4)
	}
	return p
}

// measured are the paths of the plan; failed has how many of the ten requests fail, by the target's place.
func measured(p mesh.Plan, failed map[int]uint64) []report.Path {
	random := rand.New(rand.NewPCG(1, 2))
	paths := make([]report.Path, 0, len(p.Targets))
	for i, t := range p.Targets {
		path := report.Path{Target: t, Persistent: &report.Path{Target: t}}
		record(&path, p.Load.Requests(), failed[i], random)
		persistent, _ := p.Load.Persistent()
		record(path.Persistent, persistent, 0, random)
		path.Persistent.Reused = persistent - 1
		paths = append(paths, path)
	}
	return paths
}

func record(p *report.Path, n, failed uint64, random *rand.Rand) {
	p.Scheduled, p.Sent, p.OK = n, n, n-failed
	p.Peers = map[string]uint64{}
	for range n {
		p.Lag.Record(time.Microsecond)
	}
	for range p.OK {
		took := time.Duration(1+random.IntN(1000)) * time.Microsecond
		p.Latency.Record(took)
		p.Response.Record(took)
		p.Peers[fmt.Sprintf("p%03d", random.IntN(64))]++
	}
	if failed > 0 {
		p.Failures = []report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: failed,
			Examples: []string{"refused"}, Spans: []report.Span{{Count: failed}}}}
	}
}

// total adds up the paths.
func total(paths ...[]report.Path) (sum report.Path) {
	for _, some := range paths {
		for i := range some {
			sum.Add(&some[i], func(string) bool { return true })
		}
	}
	return sum
}

func TestNoCountGetsLost(t *testing.T) {
	for _, rows := range []int{4, 20} {
		for _, failing := range []int{0, 3, 150} {
			plan, failed := planOf(200, rows), map[int]uint64{}
			for i := range failing {
				failed[i] = 1 + uint64(i%10)
			}
			paths := measured(plan, failed)
			d := digest.Of(plan, slices.Clone(paths))
			var summed []report.Path
			var inSums, notPassed uint64
			for _, sum := range d.Sums {
				summed = append(summed, sum.Total)
				inSums, notPassed = inSums+sum.Paths, notPassed+sum.NotPassed
			}
			want, got := total(paths), total(d.Paths, summed)
			if got.Scheduled != want.Scheduled || got.OK != want.OK || got.Failed() != want.Failed() ||
				got.Latency.Count() != want.Latency.Count() || got.Latency.Mean() != want.Latency.Mean() ||
				got.Persistent.OK != want.Persistent.OK || got.Persistent.Reused != want.Persistent.Reused {
				t.Errorf("%d rows, %d failing: the digest adds up to %+v, the paths to %+v", rows, failing, got, want)
			}
			if len(d.Paths) > rows+plan.Detail.Listed || uint64(len(d.Paths))+inSums != 200 {
				t.Errorf("%d rows, %d failing: %d paths are listed, and %d are in sums", rows, failing, len(d.Paths), inSums)
			}
			listed := map[string]bool{}
			for _, p := range d.Paths {
				listed[p.Target.ID] = true
			}
			missing := map[int]bool{}
			for i := range failing {
				missing[i] = !listed[plan.Targets[i].ID]
			}
			for _, path := range d.NotListed {
				if !missing[int(path.Index)] || path.Class != report.Failed {
					t.Errorf("%d rows, %d failing: %+v is told of", rows, failing, path)
				}
				delete(missing, int(path.Index))
			}
			for i, lost := range missing {
				if lost {
					t.Errorf("%d rows, %d failing: nothing tells that path %d failed", rows, failing, i)
				}
			}
			if uint64(len(d.NotListed)) != notPassed {
				t.Errorf("%d paths did not pass by the sums, and %d are named", notPassed, len(d.NotListed))
			}
		}
	}
}

func TestTheWorstPathThatPassedIsListed(t *testing.T) {
	plan := planOf(100, 20)
	paths := measured(plan, nil)
	for range paths[77].OK {
		paths[77].Latency.Record(time.Second)
		paths[77].Response.Record(time.Second)
	}
	paths[77].OK, paths[77].Sent, paths[77].Scheduled = 2*paths[77].OK, 2*paths[77].Sent, 2*paths[77].Scheduled
	d := digest.Of(plan, paths)
	if !slices.ContainsFunc(d.Paths, func(p report.Path) bool { return p.Target.ID == "t077" }) {
		t.Error("the slowest path is not listed")
	}
	if len(d.Paths) != plan.Detail.Listed+3 {
		t.Errorf("%d paths are listed, want the two that always are, the two worst and one by chance", len(d.Paths))
	}
}

func TestAPlanWithoutADetailLeavesAllPaths(t *testing.T) {
	plan := planOf(10, 4)
	plan.Detail = mesh.Detail{}
	if d := digest.Of(plan, measured(plan, nil)); len(d.Paths) != 10 || len(d.Sums) > 0 {
		t.Errorf("%d paths and %d sums; want all paths", len(d.Paths), len(d.Sums))
	}
}

// TestWhatPassesAloneIsJudgedAPass holds what agents take for a pass against the judgement on the whole report.
func TestWhatPassesAloneIsJudgedAPass(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	plan := planOf(60, 4)
	for range 50 {
		failed := map[int]uint64{}
		for range random.IntN(10) {
			failed[random.IntN(60)] = uint64(random.IntN(11))
		}
		paths := measured(plan, failed)
		d := digest.Of(plan, paths)
		persistent, _ := plan.Load.Persistent()
		whole := report.AgentReport{Pod: "asker", Finished: true, Paths: paths}
		expected := report.Expected{Pod: "asker", Requests: plan.Load.Requests(), Persistent: persistent}
		for _, target := range plan.Targets {
			expected.Targets = append(expected.Targets, target.ID)
		}
		v := verdict.Judge(report.Round{Expected: []report.Expected{expected}, Agents: []report.AgentReport{whole}},
			verdict.Expect{SuccessRate: 1})
		bad := map[string]bool{}
		for _, path := range d.NotListed {
			bad[plan.Targets[path.Index].ID] = true
		}
		for _, p := range d.Paths {
			bad[p.Target.ID] = true
		}
		for _, p := range v.Agents[0].Paths {
			if p.Result != verdict.Pass && !bad[p.Target] {
				t.Fatalf("%s is %s in all, and nobody tells of it", p.Target, p.Result)
			}
		}
	}
}
