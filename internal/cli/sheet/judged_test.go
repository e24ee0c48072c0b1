package sheet_test

import (
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// measure makes the report of a round in which everything succeeds, as agents would send it; edit changes it before it
// is judged.
func (r round) measure(edit func(*report.Round)) v1beta1.KdoctorReport {
	load := mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Timeout: time.Second, Connection: mesh.Both}
	kinds := []target.Kind{target.Endpoint, target.ClusterIP, target.LoadBalancer}
	planned := mesh.New(schedule.Key{Generation: 1, Round: 1}, report.TaskRef{Kind: "NetReach", Name: "task"},
		r.snapshot(), mesh.Want{Families: r.families, Kinds: kinds, Load: load})
	limits.Grant(&planned, load, limits.Share{})
	measured := report.Round{Key: schedule.Key{Generation: 1, Round: 1}, Started: began,
		Ended:  began.Add(12 * time.Second),
		Budget: planned.Load, Expected: planned.Expected, Backends: planned.Backends}
	for i, plan := range planned.Plans {
		a := report.AgentReport{Pod: plan.Agent.Pod, Node: plan.Agent.Node, Finished: true, Started: began,
			Ended: began.Add(11 * time.Second)}
		for j, t := range plan.Targets {
			each := time.Duration(210+110*((i*7+j*3)%9)) * time.Microsecond
			p := stream(t, 100, each)
			kept := stream(t, 10, each)
			kept.Reused = 9
			p.Persistent = &kept
			if pods, several := measured.BackendSets().Pods(a.Pod, t.ID); several {
				p.Peers = map[string]uint64{}
				for k := range p.OK {
					p.Peers[pods[int(k)%len(pods)]]++
				}
			}
			a.Paths = append(a.Paths, p)
		}
		measured.Agents = append(measured.Agents, a)
	}
	edit(&measured)
	judged := verdict.Judge(measured, verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond})
	return *render.Whole(render.ReportedTask{Kind: "NetReach", Name: "task", Generation: 1, ExpectedRounds: 1,
		DoneRounds: 1,
		Finished:   true}, verdict.StoredRound{Round: measured, Verdict: judged})
}

func stream(t target.Target, requests uint64, each time.Duration) report.Path {
	p := report.Path{Target: t, Scheduled: requests, Sent: requests, OK: requests,
		Statuses: map[int]uint64{200: requests}}
	for range requests {
		p.Latency.Record(each)
	}
	return p
}

// excuse makes so many of the path's requests fail with an excuse.
func excuse(p *report.Path, n uint64, by report.Change, away, of int) {
	p.OK, p.Statuses = p.OK-n, map[int]uint64{200: p.OK - n}
	p.Failures = append(p.Failures, report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: n, Excused: n})
	p.Excuses = []report.Excuse{{Changes: []report.Change{by}, First: began.Add(6 * time.Second),
		Last: began.Add(10 * time.Second), Explained: n, Of: n, Away: away, Backends: of}}
}

// drain takes the last agent's report away, and lets the others' requests to it fail with an excuse.
func drain(from uint64) func(*report.Round) {
	return func(r *report.Round) {
		last := r.Agents[len(r.Agents)-1]
		gone := report.Change{Pod: last.Pod, Node: last.Node, Kind: report.Drained,
			WindowStart: began.Add(6 * time.Second)}
		r.Agents = r.Agents[:len(r.Agents)-1]
		r.Missing = []report.Missing{{Pod: last.Pod, Node: last.Node, Reason: "its node was drained during the round",
			Excused: true, Change: &gone}}
		r.Churn = []report.Change{gone}
		for i := range r.Agents {
			for j := range r.Agents[i].Paths {
				if p := &r.Agents[i].Paths[j]; p.Target.Pod == last.Pod {
					excuse(p, 100-from, gone, 1, 1)
					excuse(p.Persistent, 10-from/10, gone, 1, 1)
				}
			}
		}
	}
}

func TestRoundsAsTheyAreJudged(t *testing.T) {
	v4 := []topology.Family{topology.IPv4}
	outside := func(r *report.Round) {
		r.Outside = []report.Outside{{Node: "node-3", Reason: "its node selector leaves it out"},
			{Node: "node-4", Reason: "its node selector leaves it out"}}
		for i := range r.Agents {
			for j := range r.Agents[i].Paths {
				p := &r.Agents[i].Paths[j]
				p.Target.ShortCircuit = p.Target.Kind == target.LoadBalancer
			}
		}
	}
	idle := func(r *report.Round) {
		for i := range r.Agents {
			for j := range r.Agents[i].Paths {
				if p := &r.Agents[i].Paths[j]; p.Target.Node != "" && p.Target.Node != r.Agents[i].Node {
					p.Persistent.Reused, p.Persistent.IdleResets, p.Persistent.IdleCloses = 2, 6, 1
				}
			}
		}
	}
	cut := func(r *report.Round) {
		a := &r.Agents[1]
		a.StoppedWhy, a.Finished = "its pod was deleted during the round", false
		for j := range a.Paths {
			a.Paths[j] = stream(a.Paths[j].Target, 1, time.Millisecond)
			// Agents report both streams from their first moment on.
			a.Paths[j].Persistent = &report.Path{Target: a.Paths[j].Target}
		}
	}
	cases := []struct {
		name    string
		report  v1beta1.KdoctorReport
		options sheet.Options
	}{
		{"judged_pass_of_two_of_four_nodes", round{nodes: 2, families: v4}.measure(outside), sheet.Options{Width: 120}},
		{"judged_pass_of_two_of_four_nodes_wide", round{nodes: 2, families: v4}.measure(outside),
			sheet.Options{Wide: true}},
		{"judged_one_of_three_nodes_drained", round{nodes: 3, families: v4}.measure(drain(0)),
			sheet.Options{Width: 100}},
		{"judged_one_of_three_nodes_drained_late", round{nodes: 3, families: v4}.measure(drain(60)),
			sheet.Options{Wide: true}},
		{"judged_one_of_two_nodes_drained", round{nodes: 2, families: v4}.measure(drain(0)), sheet.Options{Width: 100}},
		{"judged_connections_that_are_reset_while_idle", round{nodes: 3, families: v4}.measure(idle),
			sheet.Options{Width: 120}},
		{"judged_agent_that_was_cut_at_once", round{nodes: 3, families: v4}.measure(cut), sheet.Options{Width: 100}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := show(t, c.name, c.report, c.options)
			if passes := sheet.Passed(c.report); passes != strings.HasPrefix(got, "SUCCEED") {
				t.Errorf("the exit status says that it passed: %t", passes)
			}
		})
	}
}
