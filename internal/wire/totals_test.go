package wire_test

import (
	"math"
	"testing"
	"time"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/wire"
)

// summed is a report with one sum of five paths, of which the one at place 7 did not pass.
func summed() *agentv1.AgentReport {
	r := report.AgentReport{Pod: "p", Node: "n", Started: time.Unix(1, 0), Ended: time.Unix(2, 0), Finished: true,
		NotListed: []report.NotListed{{Index: 7, Class: report.Doubtful}},
		Sums:      []report.Sum{{Group: 3, Paths: 5, NotPassed: 1, Total: report.Path{}}}}
	for range 4 {
		r.Sums[0].Total.Latency.Record(time.Millisecond)
		r.Sums[0].Total.Response.Record(time.Millisecond)
		r.Sums[0].Total.Lag.Record(time.Microsecond)
	}
	r.Sums[0].Total.Scheduled, r.Sums[0].Total.Sent, r.Sums[0].Total.OK = 4, 4, 4
	return wire.Report(r)
}

func TestSumsComeOverTheWire(t *testing.T) {
	got, err := wire.ParseReport(summed())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Sums) != 1 || got.Sums[0].Group != 3 || got.Sums[0].Paths != 5 || got.Sums[0].NotPassed != 1 ||
		got.Sums[0].Total.OK != 4 || len(got.NotListed) != 1 || got.NotListed[0].Index != 7 ||
		got.NotListed[0].Class != report.Doubtful {
		t.Errorf("got %+v and %+v", got.Sums, got.NotListed)
	}
}

func TestSumsThatCannotBeAreRefused(t *testing.T) {
	for name, damage := range map[string]func(*agentv1.AgentReport){
		"a group that stands twice":      func(m *agentv1.AgentReport) { m.Sums = append(m.Sums, m.Sums[0]) },
		"a sum of no paths":              func(m *agentv1.AgentReport) { m.Sums[0].Paths, m.Sums[0].NotPassed = 0, 0 },
		"more that did not pass":         func(m *agentv1.AgentReport) { m.Sums[0].NotPassed = 6 },
		"counts that do not add up":      func(m *agentv1.AgentReport) { m.Sums[0].Total.Ok = 3 },
		"no total":                       func(m *agentv1.AgentReport) { m.Sums[0].Total = nil },
		"an index that stands twice":     func(m *agentv1.AgentReport) { m.NotListed = append(m.NotListed, m.NotListed[0]) },
		"indices that do not ascend":     func(m *agentv1.AgentReport) { m.NotListed = append(m.NotListed, 4) },
		"a class that there is not":      func(m *agentv1.AgentReport) { m.NotListed[0] |= 3 },
		"an index beyond all targets":    func(m *agentv1.AgentReport) { m.NotListed[0] = wire.MaxTargets << 2 },
		"more sums than there are paths": func(m *agentv1.AgentReport) { m.Sums = make([]*agentv1.Sum, wire.MaxTargets+1) },
	} {
		t.Run(name, func(t *testing.T) {
			m := summed()
			damage(m)
			if _, err := wire.ParseReport(m); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func TestDetailsThatCannotBeAreRefused(t *testing.T) {
	for name, damage := range map[string]func(*agentv1.Detail){
		"":                           func(*agentv1.Detail) {},
		"more listed than targets":   func(d *agentv1.Detail) { d.Listed = 2 },
		"more rows than targets may": func(d *agentv1.Detail) { d.Rows = wire.MaxTargets + 1 },
		"too few groups":             func(d *agentv1.Detail) { d.Groups = nil },
		"a group out of bounds":      func(d *agentv1.Detail) { d.Groups[0] = wire.MaxTargets },
		"a rate that is no number":   func(d *agentv1.Detail) { d.SuccessRate = math.NaN() },
		"a rate above one":           func(d *agentv1.Detail) { d.SuccessRate = 1.01 },
		"a negative delay":           func(d *agentv1.Detail) { d.MeanDelay.Seconds = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			p := plan()
			p.Targets = p.Targets[:1]
			p.Detail = mesh.Detail{Listed: 1, Rows: 4, Groups: []uint32{0}, SuccessRate: 0.5, MeanDelay: time.Second,
				Pods: 2}
			m := wire.Plan(p)
			damage(m.Detail)
			got, err := wire.ParsePlan(m)
			if (err == nil) != (name == "") {
				t.Fatalf("got %v", err)
			}
			if d := got.Detail; err == nil && (d.Listed != 1 || d.Rows != 4 || len(d.Groups) != 1 ||
				d.SuccessRate != 0.5 ||
				d.MeanDelay != time.Second || d.Pods != 2) {
				t.Errorf("got %+v", d)
			}
		})
	}
}
