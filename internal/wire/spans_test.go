package wire_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/wire"
)

func TestSpansOfFailures(t *testing.T) {
	span := func(first, last time.Duration, count uint64) *agentv1.Span {
		return &agentv1.Span{First: durationpb.New(first), Last: durationpb.New(last), Count: count}
	}
	const ms = time.Millisecond
	cases := []struct {
		name    string
		spans   []*agentv1.Span
		running bool
		refused bool
	}{
		{name: "an agent that does not tell is believed"},
		{name: "spans that follow each other and add up are believed",
			spans: []*agentv1.Span{span(0, 10*ms, 2), span(20*ms, 20*ms, 1), span(1000*ms, 1000*ms, 1)}},
		{name: "spans that do not add up are refused", spans: []*agentv1.Span{span(0, 10*ms, 2)}, refused: true},
		{name: "spans with more attempts than failed are refused", spans: []*agentv1.Span{span(0, 10*ms, 5)},
			refused: true},
		{name: "a span with no attempt is refused", spans: []*agentv1.Span{span(0, 10*ms, 4), span(20*ms, 20*ms, 0)},
			refused: true},
		{name: "a span that ends before it starts is refused", spans: []*agentv1.Span{span(10*ms, 9*ms, 4)},
			refused: true},
		{name: "a span before the start of the path is refused", spans: []*agentv1.Span{span(-1, 10*ms, 4)},
			refused: true},
		{name: "a span after the end of the path is refused", spans: []*agentv1.Span{span(0, 1001*ms, 4)},
			refused: true},
		{name: "a span after the longest round is refused while the path has no end",
			spans: []*agentv1.Span{span(0, 49*time.Hour, 4)}, running: true, refused: true},
		{name: "a span at any other time is believed while the path has no end",
			spans: []*agentv1.Span{span(0, time.Hour, 4)}, running: true},
		{name: "spans in disorder are refused", spans: []*agentv1.Span{span(20*ms, 20*ms, 2), span(0, 10*ms, 2)},
			refused: true},
		{name: "spans that overlap are refused", spans: []*agentv1.Span{span(0, 10*ms, 2), span(10*ms, 20*ms, 2)},
			refused: true},
		{name: "a span without a time is refused", spans: []*agentv1.Span{{Count: 4}}, refused: true},
		{name: "a span without a beginning is refused", spans: []*agentv1.Span{{Last: durationpb.New(0), Count: 4}},
			refused: true},
		{name: "a span without an end is refused", spans: []*agentv1.Span{{First: durationpb.New(0), Count: 4}},
			refused: true},
		{name: "more spans than there may be are refused", spans: make([]*agentv1.Span, report.MaxSpans+1),
			refused: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			message := wire.Report(agentReport())
			p := message.Paths[0]
			p.Failures = []*agentv1.Failure{{Outcome: "Timeout", Phase: "connect", Count: 4, Spans: c.spans}}
			p.Ok, p.Kernel, p.Latency, p.Response, p.Phases, p.Statuses, p.Peers = 0, 0, empty(), empty(), nil, nil, nil
			if c.running {
				message.Ended, message.State, p.Ended = nil, agentv1.RoundState_ROUND_STATE_RUNNING, nil
			}
			got, err := wire.ParseReport(message)
			if (err != nil) != c.refused {
				t.Fatalf("error %v", err)
			}
			if err == nil && len(got.Paths[0].Failures[0].Spans) != len(c.spans) {
				t.Errorf("spans %+v", got.Paths[0].Failures[0].Spans)
			}
		})
	}
}

// empty is a histogram of nothing.
func empty() []byte {
	return wire.Report(report.AgentReport{Paths: []report.Path{{}}}).Paths[0].Latency
}
