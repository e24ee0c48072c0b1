package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/report"
)

func spans(all []report.Span) []*agentv1.Span {
	var messages []*agentv1.Span
	for _, s := range all {
		messages = append(messages,
			&agentv1.Span{First: durationpb.New(s.First), Last: durationpb.New(s.Last), Count: s.Count})
	}
	return messages
}

// longest returns how long after the start of the path an attempt may have started: up to the path's end, or up to
// MaxLimit while it has no end.
func longest(p report.Path) time.Duration {
	if p.Ended.IsZero() {
		return MaxLimit
	}
	return p.Ended.Sub(p.Started)
}

// parseSpans reads when the attempts of one kind of failure started. An agent may leave out all spans, but not some of
// them: the judgement excuses attempts by their spans.
func parseSpans(m *agentv1.Failure, longest time.Duration) ([]report.Span, error) {
	messages := m.GetSpans()
	if len(messages) == 0 {
		return nil, nil
	}
	if len(messages) > report.MaxSpans {
		return nil, fmt.Errorf("%d spans, allowed are %d", len(messages), report.MaxSpans)
	}
	var parsed []report.Span
	left, before := m.GetCount(), time.Duration(-1)
	for _, m := range messages {
		s := report.Span{First: m.GetFirst().AsDuration(), Last: m.GetLast().AsDuration(), Count: m.GetCount()}
		if m.GetFirst() == nil || m.GetLast() == nil || s.First <= before || s.Last < s.First || s.Last > longest ||
			s.Count == 0 || s.Count > left {
			return nil, fmt.Errorf("a span from %v to %v with %d attempts cannot be", s.First, s.Last, s.Count)
		}
		left, before = left-s.Count, s.Last
		parsed = append(parsed, s)
	}
	if left > 0 {
		return nil, fmt.Errorf("%d attempts are in no span", left)
	}
	return parsed, nil
}
