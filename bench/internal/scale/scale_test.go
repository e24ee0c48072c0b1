package scale

import (
	"testing"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
)

func TestGoals(t *testing.T) {
	good := Result{Nodes: 1000, Fault: fleet.Healthy, Outcome: "succeed", Took: 60, After: 5, CPU: 30, Peak: 300e6,
		Paths: 2_001_000, Stored: 1e9,
		Coverage: &systemv1beta1.Coverage{EveryPairWithin: "1m0s", EveryPairWithinInMs: 60e3}}
	dead := Result{Nodes: 1000, Fault: fleet.DeadNode, Outcome: "fail",
		Findings: []Finding{{"NodeUnreachable", "node " + fleet.Node(500)}}}
	change := func(r Result, by func(*Result)) []Result {
		by(&r)
		return []Result{r}
	}
	for name, c := range map[string]struct {
		results []Result
		missed  []string
	}{
		"all bounds are reached": {[]Result{good, dead}, nil},
		"a megabyte too many":    {change(good, func(r *Result) { r.Peak += 1e6 }), []string{"controller, peak"}},
		"too late": {change(good, func(r *Result) { r.After = 5.1 }),
			[]string{"report after the last agent's end"}},
		"a report that is lost misses everything that was to be measured of it": {
			[]Result{{Nodes: 150, Fault: fleet.Healthy, Lost: "the controller died"}},
			[]string{"no report is lost", "a round without a fault succeeds, and nothing is found",
				"stored, full rows"}},
		"a controller that is killed and comes back": {change(good, func(r *Result) { r.Killed = 1 }),
			[]string{"the controller keeps within its limit of memory"}},
		"a finding without a fault": {change(good, func(r *Result) { r.Findings = []Finding{{"X", "y"}} }),
			[]string{"a round without a fault succeeds, and nothing is found"}},
		"a finding in another place": {change(dead, func(r *Result) {
			r.Findings = []Finding{{"NodeUnreachable", "node " + fleet.Node(501)}}
		}), []string{"the fault is one finding, in its place"}},
		"a second finding": {change(dead, func(r *Result) { r.Findings = append(r.Findings, r.Findings...) }),
			[]string{"the fault is one finding, in its place"}},
		"somebody else is blamed": {change(dead, func(r *Result) { r.Blamed = 1 }),
			[]string{"nodes that are blamed in vain"}},
		"101 bytes a path": {[]Result{{Nodes: 50, Fault: fleet.Healthy, Outcome: "succeed", Paths: 100, Stored: 10100}},
			[]string{"stored, full rows"}},
		"no path by path above the bound": {[]Result{{Nodes: 150, Fault: fleet.Healthy, Outcome: "succeed",
			Paths: 45150, Stored: 1e9}}, nil},
		"a plan that cannot fit, of which the status says nothing": {[]Result{{Nodes: 2000, Fault: fleet.Healthy,
			Outcome: "fail", Refused: &Refused{Why: "2000 agents did not report"}}},
			[]string{"a plan that cannot fit is refused with a sentence"}},
		"a plan that cannot fit and is sent all the same": {[]Result{{Nodes: 2000, Fault: fleet.Healthy, Outcome: "fail",
			Refused: &Refused{Why: "nothing was sent: it is too much", Agents: 1}}},
			[]string{"a plan that cannot fit: agents that got one"}},
		"every pair within six minutes": {change(good, func(r *Result) {
			r.Nodes, r.Coverage = 5000, &systemv1beta1.Coverage{EveryPairWithin: "6m0s", EveryPairWithinInMs: 360e3}
			r.YAML.Peak, r.Took = 200e6, 60
		}), []string{"every pair is probed within"}},
	} {
		t.Run(name, func(t *testing.T) {
			missed := map[string]bool{}
			for _, v := range Judge(c.results) {
				if !v.Met {
					missed[v.Goal.Name] = true
				}
			}
			for _, name := range c.missed {
				if !missed[name] {
					t.Errorf("%q is met", name)
				}
				delete(missed, name)
			}
			for name := range missed {
				t.Errorf("%q is missed", name)
			}
		})
	}
}

func TestMemoryIsReadFromTheKernelsText(t *testing.T) {
	const status = "Name:\tx\nVmPeak:\t  90 kB\nVmHWM:\t    1024 kB\nVmRSS:\t     512 kB\n"
	for field, want := range map[string]uint64{"VmHWM": 1 << 20, "VmRSS": 512 << 10} {
		if got, err := memoryOf(status, field); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", field, got, err, want)
		}
	}
	if _, err := memoryOf(status, "VmSwap"); err == nil {
		t.Error("a field that is not there was read")
	}
}

func TestProgramsAreMeasured(t *testing.T) {
	for _, c := range []struct {
		name, script, failed string
		lines                int
	}{
		{"a program that prints", "echo one; echo two", "", 2},
		{"a program that complains", "echo one; echo bad >&2; exit 3", "exit status 3: bad", 1},
		{"a program that says no", "echo one; exit 1", "", 1},
		{"a program that says nothing", "exit 1", "exit status 1: ", 0},
	} {
		r := RunMeasured(t.Context(), []string{"/bin/sh", "-c", c.script})
		if r.Lines != c.lines || r.Bytes != 4*c.lines || r.Failed != c.failed || r.Peak == 0 {
			t.Errorf("%s: %+v; want %d lines and the failure %q", c.name, r, c.lines, c.failed)
		}
	}
}

func TestGrowthIsThatAfterTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		memory func(round int) uint64
		want   float64
	}{
		"a start that needs less":  {func(round int) uint64 { return uint64(100 + 100*min(round/10, 1)) }, 1},
		"a peak now and then":      {func(round int) uint64 { return uint64(100 + 900*(round%7/6)) }, 1},
		"a little more each round": {func(round int) uint64 { return uint64(1000 + 10*round) }, 1950. / 1150},
	} {
		var h Heartbeat
		for round := range 100 {
			h.Memory = append(h.Memory, c.memory(round))
		}
		if got := h.Growth(); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("%s: %.3f, want %.3f", name, got, c.want)
		}
	}
	if got := (Heartbeat{}).Growth(); got != 1 {
		t.Errorf("no rounds grew %.3f times", got)
	}
}

func TestSlopeIsThatAfterTheStart(t *testing.T) {
	h := Heartbeat{Kept: 50}
	for round := range 100 {
		h.Memory = append(h.Memory, uint64(1000+20*max(round, 10)+round%2))
		h.StoredAfter = append(h.StoredAfter, uint64(10*min(round+1, 50)))
	}
	h.Stored = 500
	if got := h.Slope(); got < 19.9 || got > 20.1 {
		t.Errorf("the memory grows %.2f bytes a round, want 20", got)
	}
	if got := h.StoreGrowth(); got != 1 {
		t.Errorf("a full store grew %.2f times, want 1", got)
	}
	h.Stored = 1000
	if got := h.StoreGrowth(); got != 2 {
		t.Errorf("a store that doubled grew %.2f times", got)
	}
	if got := (Heartbeat{}).Slope(); got != 0 {
		t.Errorf("no rounds grow %.2f bytes a round", got)
	}
}

func TestWherePlansCannotFit(t *testing.T) {
	for nodes, want := range map[int]bool{50: false, 1000: false, 2000: true, 5000: true} {
		if got := canRefuse(nodes); got != want {
			t.Errorf("%d nodes: %v, want %v", nodes, got, want)
		}
	}
}

func TestNodesThatAreBlamed(t *testing.T) {
	all := int64(21)
	victim := fleet.Node(fleet.Victim(1000))
	for name, c := range map[string]struct {
		record v1beta1.Record
		want   int
		first  string
	}{
		"nobody":               {v1beta1.Record{}, 0, ""},
		"the victim alone":     {v1beta1.Record{FailedAgentNodeList: []string{victim}}, 0, ""},
		"somebody else":        {v1beta1.Record{FailedAgentNodeList: []string{"n", victim}}, 1, "n"},
		"more than are listed": {v1beta1.Record{FailedAgentNodeList: []string{"n"}, FailedAgentNodeNumber: &all}, 21, "n"},
	} {
		r := Result{Nodes: 1000, Fault: fleet.BlockedPort}
		if r.of(c.record); r.Blamed != c.want || r.BlamedFirst != c.first {
			t.Errorf("%s: %d, such as %q; want %d, %q", name, r.Blamed, r.BlamedFirst, c.want, c.first)
		}
	}
}
