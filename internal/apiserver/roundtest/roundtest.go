// Package roundtest makes stored rounds of any size for tests of what reads them.
package roundtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Shape is what a round looks like.
type Shape struct {
	// Agents is how many agents report. Each is the only one on its node, and the nodes are in ten zones.
	Agents int
	// Dead is the index of a node that answers nobody and whose agent does not report; negative for none.
	Dead int
	// Troubled adds whatever else grows with a cluster: reasons, changes, and nodes that nobody looks at.
	Troubled bool
	// Rotate makes each agent probe a hundred nodes alone.
	Rotate bool
}

// sumsAbove is the number of paths above which agents report sums.
const sumsAbove = 30_000

const zones = 10

// Began is when the rounds begin.
func Began() time.Time { return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) }

// Node and Pod name a node and its agent.
func Node(i int) string {
	return fmt.Sprintf("ip-10-%d-%d-7.eu-central-1.compute.internal", i/250, i%250)
}

// Pod is the name of the node's agent.
func Pod(i int) string { return fmt.Sprintf("kdoctor-agent-%05d", i) }

func zone(i int) string { return fmt.Sprintf("eu-central-1-%d", i%zones) }

// New returns a round of the task with the UID.
func New(uid string, s Shape) verdict.StoredRound {
	m := maker{Shape: s, fast: histogram(250*time.Microsecond, 10), slow: histogram(30*time.Millisecond, 10)}
	r := report.Round{
		Key: schedule.Key{UID: uid, Generation: 1, Round: 1}, Task: report.TaskRef{Kind: "NetReach", Name: "task"},
		Started: Began(), Ended: Began().Add(12 * time.Second), Deadline: Began().Add(time.Minute),
		Budget:   report.RequestBudget{Asked: 1, Granted: 1, Targets: m.targets(), Connections: m.targets()},
		Coverage: m.coverage(),
	}
	v := verdict.Verdict{Result: verdict.Pass}
	for i := range s.Agents {
		r.Expected = append(r.Expected, m.expected(i))
		if i == s.Dead {
			r.Missing = append(r.Missing, report.Missing{Pod: Pod(i), Node: Node(i),
				Reason: "no answer on either way: connection timed out"})
			v.Reasons = append(v.Reasons, verdict.Reason{Code: verdict.NotReported, Pod: Pod(i), Node: Node(i),
				Text: "no answer on either way: connection timed out"})
			continue
		}
		a, judged := m.agent(i)
		r.Agents, v.Agents = append(r.Agents, a), append(v.Agents, judged)
		if judged.Result != verdict.Pass && s.Troubled {
			reason := judged.Reason
			reason.Pod, reason.Node = judged.Pod, judged.Node
			v.Reasons = append(v.Reasons, reason)
		}
	}
	if s.Dead >= 0 {
		v.Result = verdict.Fail
	}
	if s.Troubled {
		m.trouble(&r)
	}
	m.sumUp(&r)
	if len(r.Findings) > 0 && !s.Troubled {
		v.Reasons = slices.Insert(v.Reasons, 0, verdict.Reason{Code: verdict.Located, Text: r.Findings[0].Message})
		for i := range v.Agents {
			v.Agents[i].Explained = v.Agents[i].Result == verdict.Fail
		}
	}
	return verdict.StoredRound{Round: r, Verdict: v, Spec: json.RawMessage(`{"target":{"ipv4":true}}`)}
}

// Counts counts what a round holds, as a store does.
func Counts(stored verdict.StoredRound) render.Counts {
	c := render.Counts{Reported: len(stored.Round.Agents), Agents: map[verdict.Result]int{},
		Paths: verdict.Counts(stored.Verdict)}
	for _, e := range stored.Round.Expected {
		c.Planned += max(e.Paths, uint64(len(e.Targets)))
	}
	for _, a := range stored.Round.Agents {
		c.Listed += uint64(len(a.Paths))
		for _, s := range a.Sums {
			c.Summed += s.Paths
			c.SummedNotPassed += s.NotPassed
		}
	}
	for _, a := range stored.Verdict.Agents {
		c.Agents[a.Result]++
	}
	return c
}

type maker struct {
	Shape
	fast, slow stats.Histogram
}

// number is a count as rounds have it.
func number(n int) uint64 { return uint64(max(n, 0)) } // #nosec G115 -- it is not negative

func histogram(around time.Duration, n int) stats.Histogram {
	var h stats.Histogram
	for i := range n {
		h.Record(around + time.Duration(i)*around/10)
	}
	return h
}

// peers is how many nodes an agent probes, itself included.
func (m maker) peers() int {
	if m.Rotate {
		return min(100, m.Agents)
	}
	return m.Agents
}

// targets is how many targets an agent has: the pod and the node port of each peer, and the Service.
func (m maker) targets() int { return 2*m.peers() + 1 }

func (m maker) sums() bool { return m.Agents*m.targets() > sumsAbove }

func (m maker) coverage() report.Coverage {
	all := number(m.Agents * m.Agents)
	c := report.Coverage{Mode: report.Full, Pairs: all, AllPairs: all, Rounds: 1, Within: time.Minute,
		Oldest: Began()}
	if m.Rotate {
		rounds := (m.Agents + m.peers() - 1) / m.peers()
		c = report.Coverage{Mode: report.Rotate, Pairs: number(m.Agents * m.peers()), AllPairs: all,
			Rounds: number(rounds),
			Within: time.Duration(rounds) * time.Minute}
	}
	return c
}

// expected is what is expected of one agent. Targets have names only where no agent reports sums.
func (m maker) expected(i int) report.Expected {
	e := report.Expected{Pod: Pod(i), Node: Node(i), Requests: 10}
	if m.sums() {
		e.Paths = number(m.targets())
		return e
	}
	for _, p := range m.paths(i) {
		e.Targets = append(e.Targets, p.Target.ID)
	}
	return e
}

// paths are those that the agent reports one by one: the first few, and those to the dead node, where it reports sums.
func (m maker) paths(i int) []report.Path {
	var all []report.Path
	for k := range m.peers() {
		to := (i + k) % m.Agents
		if !m.sums() || k <= 2 || to == m.Dead {
			all = append(all, m.path(target.Endpoint, to), m.path(target.NodePort, to))
		}
	}
	return append(all, m.path(target.ClusterIP, -1))
}

// agent is the report of one agent, with the judgement on it.
func (m maker) agent(i int) (report.AgentReport, verdict.JudgedAgent) {
	a := report.AgentReport{Pod: Pod(i), Node: Node(i), Via: report.Direct, Finished: true, Started: Began(),
		Ended:     Began().Add(10 * time.Second),
		Resources: report.Resources{MaxCPU: 39, MeanCPU: 20, MaxMemory: 113 << 20, Known: true}}
	a.Paths = m.paths(i)
	j := verdict.JudgedAgent{Pod: a.Pod, Node: a.Node, Result: verdict.Pass}
	for _, p := range a.Paths {
		judged := verdict.JudgedPath{Target: p.Target.ID, Result: verdict.Pass}
		if p.OK == 0 {
			judged.Result = verdict.Fail
			judged.Reason = verdict.Reason{Code: verdict.TooFewSucceeded, Of: 10, Rate: 1,
				Worst: &verdict.Failures{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
			j.Result, j.Reason = verdict.Fail, judged.Reason
			j.Reason.Target = p.Target.ID
		}
		j.Paths = append(j.Paths, judged)
	}
	if m.sums() {
		a.Sums = m.sumsOf(len(a.Paths))
	}
	return a, j
}

// path is one path to the agent, or to the Service.
func (m maker) path(kind target.Kind, to int) report.Path {
	t := target.Target{ID: "AgentClusterV4IP_10.96.0.9:80", Kind: kind, Family: topology.IPv4, Protocol: target.HTTP,
		Address: "http://10.96.0.9:80", Answer: target.Backends}
	switch kind {
	case target.Endpoint:
		t.ID = fmt.Sprintf("AgentPodV4IP_%s_10.2.%d.%d", Pod(to), to/250, to%250)
		t.Address = fmt.Sprintf("http://10.2.%d.%d:80", to/250, to%250)
		t.Answer, t.Pod, t.Node = target.OnePod, Pod(to), Node(to)
	case target.NodePort:
		t.ID = fmt.Sprintf("AgentNodePortV4IP_10.10.%d.%d:32713", to/250, to%250)
		t.Address, t.AtNode = fmt.Sprintf("http://10.10.%d.%d:32713", to/250, to%250), Node(to)
	default:
	}
	p := report.Path{Target: t, Scheduled: 10, Sent: 10, OK: 10, Latency: m.fast, Response: m.fast, Lag: m.fast,
		Statuses: map[int]uint64{200: 10}, Bytes: 3690, Started: Began(), Ended: Began().Add(10 * time.Second)}
	if to >= 0 && to == m.Dead {
		p.OK, p.Statuses, p.Latency, p.Response = 0, nil, stats.Histogram{}, stats.Histogram{}
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10,
			Examples: []string{"dial tcp: i/o timeout"}}}
	}
	if to >= 0 && to%97 == 5 && p.OK > 0 {
		p.Latency = m.slow
	}
	return p
}

// sumsOf adds up the paths that are not told one by one.
func (m maker) sumsOf(told int) []report.Sum {
	var all []report.Sum
	left := m.targets() - told
	for _, kind := range []target.Kind{target.Endpoint, target.NodePort} {
		for z := range zones {
			n := number(left / (2 * zones))
			if kind == target.Endpoint && z == 0 {
				n += number(left % (2 * zones))
			}
			total := report.Path{Target: target.Target{Kind: kind, Family: topology.IPv4, Protocol: target.HTTP},
				Scheduled: 10 * n, Sent: 10 * n, OK: 10 * n, Bytes: 3690 * n, Latency: m.fast, Response: m.fast,
				Lag: m.fast, Statuses: map[int]uint64{200: 10 * n}, Started: Began(),
				Ended: Began().Add(10 * time.Second)}
			all = append(all, report.Sum{Zone: zone(z), Paths: n, Total: total})
		}
	}
	return all
}

// sumUp adds what the judgement adds to a round whose paths are too many: the counts by node and zone.
func (m maker) sumUp(r *report.Round) {
	if !m.sums() {
		return
	}
	each := number(m.Agents * m.targets() / (zones * zones))
	for from := range zones {
		for to := range zones {
			pair := report.ZonePair{From: zone(from), To: zone(to), Paths: each}
			if m.Dead >= 0 && m.Dead%zones == to {
				pair.NotPassed = number(2 * m.Agents / zones)
			}
			r.ZonePairs = append(r.ZonePairs, pair)
		}
	}
	if m.Dead >= 0 {
		n := number(2 * (m.peers() - 1))
		r.Nodes = []report.NodeCount{{Node: Node(m.Dead), Paths: n, NotPassed: n}}
		r.Findings = []report.Finding{{Reason: "CommonNode", Component: diagnose.PodOrNode,
			Where: "node " + Node(m.Dead), Confidence: diagnose.High,
			Message: "all paths to node " + Node(m.Dead) + " fail; look at the node"}}
	}
}

func (m maker) trouble(r *report.Round) {
	for i := range m.Agents {
		r.Outside = append(r.Outside, report.Outside{Node: fmt.Sprintf("gpu-%d.compute.internal", i),
			Reason: "its node selector leaves it out"})
		r.Churn = append(r.Churn, report.Change{Pod: Pod(i), Node: Node(i), Kind: report.Deleted,
			WindowStart: Began(), WindowEnd: Began().Add(time.Second)})
		r.Missing = append(r.Missing, report.Missing{Pod: fmt.Sprintf("kdoctor-agent-pending-%d", i),
			Node: fmt.Sprintf("fresh-%d.compute.internal", i), Reason: "pod is Pending: 0/5000 nodes are available"})
		r.Gaps = append(r.Gaps, target.Gap{Kind: target.NodePort, Family: topology.IPv6, Node: Node(i),
			Reason: "the node has no IPv6 address"})
	}
}
