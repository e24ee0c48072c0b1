package wire_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/wire"
)

// Every report here is right but for the one thing that its name says.
func TestOneWrongSumIsEnoughToRefuseAReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*agentv1.Path)
	}{
		{"one sent of none scheduled, with missed that overflow", func(p *agentv1.Path) {
			p.Scheduled, p.Missed = 0, math.MaxUint64
		}},
		{"two successes of one sent, with failures that overflow", func(p *agentv1.Path) {
			two := wire.Report(healthy(2)).GetPaths()[0]
			p.Ok, p.Latency, p.Response = 2, two.GetLatency(), two.GetResponse()
			p.Failures = []*agentv1.Failure{{Outcome: "Timeout", Phase: "connect", Count: math.MaxUint64}}
		}},
		{"failures of one sent that overflow together", func(p *agentv1.Path) {
			p.Ok, p.Latency, p.Response = 0, empty(), empty()
			p.Failures = []*agentv1.Failure{{Outcome: "Timeout", Phase: "connect", Count: 3},
				{Outcome: "Refused", Phase: "connect", Count: math.MaxUint64 - 1}}
		}},
		{"two scheduled, one sent and none missed", func(p *agentv1.Path) { p.Scheduled = 2 }},
		{"one scheduled, one sent and one missed", func(p *agentv1.Path) { p.Missed = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			message := wire.Report(healthy(1))
			if _, err := wire.ParseReport(message); err != nil {
				t.Fatalf("a report that is right is refused: %v", err)
			}
			c.spoil(message.GetPaths()[0])
			if _, err := wire.ParseReport(message); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// failing is a report of a path whose requests all timed out, and of when: one in each of the spans.
func failing(requests uint64, spans int) report.AgentReport {
	p := report.Path{Target: least().Targets[0], Scheduled: requests, Sent: requests}
	for range requests {
		p.Lag.Record(time.Millisecond)
	}
	failed := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: requests}
	for i := range spans {
		at := time.Duration(i) * time.Second
		failed.Spans = append(failed.Spans, report.Span{First: at, Last: at, Count: 1})
	}
	p.Failures = []report.Failure{failed}
	return report.AgentReport{Pod: "a", Node: "n", Paths: []report.Path{p}}
}

func TestSpansHoldAllFailuresAndAreFew(t *testing.T) {
	for _, c := range []struct {
		name     string
		requests uint64
		spans    int
		refused  bool
	}{
		{"as many spans as there may be", report.MaxSpans, report.MaxSpans, false},
		{"one span more", report.MaxSpans + 1, report.MaxSpans + 1, true},
		{"one failure more than the spans hold", 3, 2, true},
		{"one failure less than the spans hold", 2, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := wire.ParseReport(wire.Report(failing(c.requests, c.spans)))
			if (err != nil) != c.refused {
				t.Fatalf("error %v", err)
			}
			if err == nil && len(got.Paths[0].Failures[0].Spans) != c.spans {
				t.Errorf("%d spans arrive of %d", len(got.Paths[0].Failures[0].Spans), c.spans)
			}
		})
	}
}

func TestASpanStartsAfterTheOneBefore(t *testing.T) {
	message := wire.Report(failing(3, 3))
	spans := message.GetPaths()[0].GetFailures()[0].GetSpans()
	spans[2].First, spans[2].Last = spans[1].GetLast(), durationpb.New(time.Hour)
	if _, err := wire.ParseReport(message); err == nil {
		t.Error("a span is accepted that starts when the one before ends")
	}
}

func TestTimesThatNobodyKnowsAreNotSent(t *testing.T) {
	message := wire.Report(report.AgentReport{Pod: "a", Paths: []report.Path{{Target: least().Targets[0]}}})
	path := message.GetPaths()[0]
	if message.Started != nil || message.Ended != nil || path.Started != nil || path.Ended != nil {
		t.Errorf("a report without times has %v and %v, its path %v and %v", message.GetStarted(), message.GetEnded(),
			path.GetStarted(), path.GetEnded())
	}
}

func TestTimesThatAreNoneAreRefusedForThemselves(t *testing.T) {
	report := wire.Report(healthy(1))
	report.Started = &timestamppb.Timestamp{Seconds: math.MaxInt64}
	if _, err := wire.ParseReport(report); err == nil {
		t.Error("a running report is accepted that started beyond the calendar")
	}
	plan := wire.Plan(least())
	plan.Limit = &durationpb.Duration{Seconds: 60, Nanos: -1}
	if _, err := wire.ParsePlan(plan); err == nil {
		t.Error("a plan is accepted whose limit has seconds and nanoseconds of different signs")
	}
}
