package oracle

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Describe prints a scenario in a few lines, for whoever looks into a wrong judgement.
func Describe(out io.Writer, s Scenario) {
	name := s.Name
	if name == "" {
		name = fmt.Sprintf("-seed %d -round %d", s.Seed, s.Number)
	}
	fmt.Fprintf(out, "scenario %s\n", name)
	fmt.Fprintf(out, "  %d nodes, families %v, kinds %v\n", len(s.Nodes), s.Families, s.Kinds)
	fmt.Fprintf(out, "  load: %d per %d s for %v, timeout %v, connections %s; expected rate %v, mean delay %v\n",
		s.Load.PerSecond, max(s.Load.Every, 1), s.Load.Duration, s.Load.Timeout, s.Load.Connection,
		s.Expect.SuccessRate,
		s.Expect.MeanDelay)
	fmt.Fprintf(out, "  Service %+v\n  load balancer %+v\n  Ingress %+v\n", s.Service, s.Balancer, s.Ingress)
	for i, n := range s.Nodes {
		fmt.Fprintf(out, "  %s: zone %d%s; begins at %v, asked at %v, known at %v, clock %+v\n", nodeName(i), n.Zone,
			n.notes(),
			s.Starts[i].At.Round(time.Millisecond), s.Starts[i].Asked.Round(time.Millisecond),
			s.Starts[i].Known.Round(time.Millisecond), s.Starts[i].Clock.Round(time.Millisecond))
	}
	for i, f := range s.Faults {
		fmt.Fprintf(out, "  fault %d: %s from %v to %s, node %d, peer %d, rate %v, delay %v, %s\n", i, f.Kind,
			f.From.Round(time.Millisecond), until(f.To), f.Node, f.Peer, f.Rate, f.Delay, f.How)
	}
	for i, c := range s.Changes {
		fmt.Fprintf(out, "  change %d: %s of node %d at %v, stops after %v, endpoints follow after %v, back after %v, "+
			"announced %v before, told %v, partial %v, reused %v, %s\n",
			i, c.Kind, c.Node, c.At.Round(time.Millisecond), c.Stops.Round(time.Millisecond),
			c.Follows.Round(time.Millisecond),
			c.Back.Round(time.Millisecond),
			c.Announced.Round(time.Second), c.TimeKnown, c.ReportFetched, c.AddressReused, c.How)
	}
	for i, l := range s.Limits {
		fmt.Fprintf(out, "  limit %d: %+v\n", i, l)
	}
}

func until(t time.Duration) string {
	if t == forever {
		return "the end"
	}
	return t.Round(time.Millisecond).String()
}

func (n Node) notes() string {
	var notes []string
	for _, note := range []string{n.NoAgentWhy, n.OutsideWhy} {
		if note != "" {
			notes = append(notes, note)
		}
	}
	if n.AgentOn > 0 {
		notes = append(notes, "is no node; its agent is on "+nodeName(n.AgentOn-1))
	}
	if n.Cordoned {
		notes = append(notes, "cordoned")
	}
	if n.Removing {
		notes = append(notes, "being removed")
	}
	if n.SameAddressAs > 0 {
		notes = append(notes, "has the address of "+nodeName(n.SameAddressAs-1))
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
}

// String is how requests end, in words.
func (e Ending) String() string {
	return [...]string{"timeout", "refusal", "unreachable", "reset", "silence"}[e]
}

// Show prints everything about one round: the scenario, what happened on each path that lost requests, and the
// product's judgement.
func Show(out io.Writer, s Scenario) {
	Describe(out, s)
	t := Simulate(s)
	e, err := t.evidence()
	if err != nil {
		fmt.Fprintln(out, "broken:", err)
		return
	}
	j := e.judge(s.Expect)
	for _, c := range j.Round.Churn {
		fmt.Fprintf(out, "  seen: %s of %s from %v to %v\n", c.Kind, c.Pod, c.WindowStart.Sub(epoch()),
			c.WindowEnd.Sub(epoch()))
	}
	windows := t.windows()
	for _, a := range t.Agents {
		judged := resultOf(j.Verdict, podName(a.Number))
		if judged == nil {
			fmt.Fprintf(out, "  %s: no report (stopped %s, silent from %s)\n", podName(a.Number), until(a.Stopped),
				until(a.SilentSince))
			continue
		}
		fmt.Fprintf(out, "  %s: %s %v (stopped %s)\n", podName(a.Number), judged.Result, judged.Reason,
			until(a.Stopped))
		for _, p := range a.Paths {
			t.showPath(out, a, p, windows, fmt.Sprint(pathOf(judged, p.Target.ID)))
		}
	}
	fmt.Fprintf(out, "verdict: %s %v\n", j.Verdict.Result, j.Verdict.Reasons)
	for _, f := range j.Findings {
		fmt.Fprintf(out, "finding: %s (%s) %s: %s %v\n", f.Reason, f.Confidence, f.Component, f.Message, f.Evidence)
	}
	for _, p := range Check(s).Problems {
		fmt.Fprintf(out, "ERROR %s: %s\n", p.Kind, p.Text)
	}
}

// showPath prints a path on which something failed.
func (t *Truth) showPath(out io.Writer, a AgentTruth, p PathTruth, windows []window, judged string) {
	for i, s := range []stream{p.Counted, p.Persistent} {
		name := []string{"", " persistent stream"}[i]
		sum := t.accountFor(a, p, s.attempts, windows)
		if sum.failed == 0 && sum.slow == 0 && s.idleFaults == 0 && sum.made == len(s.attempts) {
			continue
		}
		fmt.Fprintf(out, "    %s%s may be answered by %v; made %d of %d, failed %d: %d by faults, %d by changes, %d by "+
			"limits; inside %d, bound %.1f, idle resets %d; judged %s\n",
			p.Target.ID, name, p.r.answerers, sum.made, len(s.attempts), sum.failed, sum.faults, sum.changes,
			sum.limits,
			sum.inside,
			sum.bound, s.idleResets, judged)
		shown := 0
		for _, x := range s.attempts {
			if x.outcome != 0 && shown < 12 {
				fmt.Fprintf(out, "      %v %s %s %d/%d\n", x.at.Round(time.Millisecond), x.outcome, x.phase,
					x.cause.Culprit,
					x.cause.Index)
				shown++
			}
		}
	}
}
