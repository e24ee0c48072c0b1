package oracle

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/wire"
)

// Record returns the agent's report after it went over the wire, as the controller keeps it.
func (t *Truth) Record(a AgentTruth) (report.AgentReport, error) {
	s := t.Scenario
	start := s.Starts[a.Number]
	own := epoch().Add(start.Clock)
	began := own.Add(start.At)
	ended := own.Add(a.lastEnd(start.At))
	if a.Stopped != forever && own.Add(a.Stopped).Before(ended) {
		ended = own.Add(a.Stopped)
	}
	r := report.AgentReport{Pod: podName(a.Number), Node: nodeName(t.world.pods[a.Number].node),
		Finished: a.Stopped == forever,
		Started:  began, Ended: ended,
		Resources: report.Resources{Known: true, MeanCPU: 5, MaxCPU: 20, MaxMemory: 30 << 20}, Observer: t.observer(a)}
	for _, p := range a.Paths {
		made := t.countStream(p.Target, p.Counted, own, began, ended)
		if p.HasPersistent {
			persistent := t.countStream(p.Target, p.Persistent, own, began, ended)
			made.Persistent = &persistent
		}
		r.Paths = append(r.Paths, made)
	}
	sent, err := overWire(r)
	if err != nil {
		return report.AgentReport{}, fmt.Errorf("report of %s: %w", r.Pod, err)
	}
	if err := t.planOf(r.Pod).Attach(&sent); err != nil {
		return report.AgentReport{}, fmt.Errorf("report of %s: %w", r.Pod, err)
	}
	sent.Earliest, sent.Latest, sent.Via = epoch().Add(a.Earliest), epoch().Add(a.Latest), report.Direct
	return sent, nil
}

// lastEnd returns when the last attempt of the agent ended.
func (a AgentTruth) lastEnd(from time.Duration) time.Duration {
	last := from
	for _, p := range a.Paths {
		for _, s := range [...]*stream{&p.Counted, &p.Persistent} {
			for i := range s.attempts {
				x := &s.attempts[i]
				last = max(last, x.at+time.Duration(x.lag+x.latency)*time.Microsecond)
			}
		}
	}
	return last
}

// planOf returns the plan of the agent in the pod.
func (t *Truth) planOf(pod string) mesh.Plan {
	for _, plan := range t.mesh.Plans {
		if plan.Agent.Pod == pod {
			return plan
		}
	}
	return mesh.Plan{}
}

// overWire sends a report and reads it again.
func overWire(r report.AgentReport) (report.AgentReport, error) {
	bytes, err := proto.Marshal(wire.Report(r))
	if err != nil {
		return report.AgentReport{}, err
	}
	var m agentv1.AgentReport
	if err := proto.Unmarshal(bytes, &m); err != nil {
		return report.AgentReport{}, err
	}
	return wire.ParseReport(&m)
}

// observer returns what the agent reports of how well it could observe.
func (t *Truth) observer(a AgentTruth) report.Observer {
	o := report.Observer{Files: 100, FileLimit: 1 << 20, Ports: 28_000}
	for _, i := range t.world.limits[a.Number] {
		l := t.Scenario.Limits[i]
		if l.Throttled == 0 {
			continue
		}
		o.Quota = 0.1
		o.Periods = uint64(max(t.Scenario.Load.Duration/(100*time.Millisecond), 1))
		o.ThrottledPeriods = uint64(float64(o.Periods) * l.Throttled)
		o.Throttled = time.Duration(
			o.ThrottledPeriods) * 40 * time.Millisecond // #nosec G115 -- a round has few periods
	}
	return o
}

// countStream counts a stream as agents do. own is the agent's clock at the controller's epoch.
func (t *Truth) countStream(to target.Target, s stream, own, began, ended time.Time) report.Path {
	account := load.NewAccount(to)
	account.Begin(began)
	var sample probe.Sample
	for i := range s.attempts {
		a := &s.attempts[i]
		if a.missed {
			account.Miss(1)
			continue
		}
		t.sample(&sample, a, own)
		account.Record(&sample)
	}
	account.End(began, ended)
	p := account.Report()
	// If requests were taken away, fewer requests were left to open connections.
	p.IdleResets = min(uint64(s.idleResets), p.Sent)              // #nosec G115 -- a count
	p.IdleCloses = min(uint64(s.idleCloses), p.Sent-p.IdleResets) // #nosec G115 -- a count
	return p
}

// sample sets s to the attempt as a prober reports it.
func (t *Truth) sample(s *probe.Sample, a *attempt, own time.Time) {
	lag := time.Duration(a.lag) * time.Microsecond
	*s = probe.Sample{Due: own.Add(a.at), Start: own.Add(a.at), Own: lag,
		Latency: time.Duration(a.latency) * time.Microsecond,
		Outcome: a.outcome, Phase: a.phase, Status: int(a.status), Reused: a.reused, Closed: a.closed,
		Kernel: a.outcome == probe.OK}
	if a.peer != nobody {
		s.Peer = t.world.pods[a.peer].name
	}
	if a.outcome == probe.OK {
		s.Bytes = 100
		if !a.reused {
			s.Phases[probe.Connect] = s.Latency / 3
		}
		s.Phases[probe.FirstByte] = s.Latency / 2
	}
}
