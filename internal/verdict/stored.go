package verdict

import (
	"encoding/json"
	"fmt"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
)

// StoredRound is a finished round with its judgement, as it is stored and shown.
type StoredRound struct {
	Round   report.Round
	Verdict Verdict
	// Spec is the task's spec as it was for this round, in JSON; empty if there is none.
	Spec json.RawMessage
}

// UnmarshalJSON reads a reason as Marshal wrote it, or as a sentence, as the first release stored it.
func (r *Reason) UnmarshalJSON(raw []byte) error {
	var sentence string
	if json.Unmarshal(raw, &sentence) == nil {
		*r = reasonIn(sentence)
		return nil
	}
	type plain Reason
	var read plain
	if err := json.Unmarshal(raw, &read); err != nil {
		return fmt.Errorf("read a reason: %w", err)
	}
	*r = Reason(read)
	return nil
}

// reasonIn reads from a sentence of the first release what programs need: the agent that the sentence is about, and the
// two codes that the display of reports distinguishes. String returns the same sentence again.
func reasonIn(sentence string) Reason {
	if rest, ok := strings.CutPrefix(sentence, "nothing is left to judge: "); ok {
		return Reason{Code: NothingLeft, Text: rest}
	}
	rest, ok := strings.CutPrefix(sentence, "agent ")
	if !ok {
		return Reason{Text: sentence}
	}
	who, text, ok := strings.Cut(rest, ": ")
	if !ok {
		return Reason{Text: sentence}
	}
	who, silent := strings.CutSuffix(who, " did not report")
	pod, node, _ := strings.Cut(who, " on node ")
	r := Reason{Pod: pod, Node: node, Text: text}
	if silent {
		r.Code = NotReported
	}
	return r
}

// UnmarshalJSON reads a judgement as Marshal wrote it, or as the first release stored it: as a path without data, with
// a mark if the path was void.
func (p *JudgedPath) UnmarshalJSON(raw []byte) error {
	type plain JudgedPath
	var read struct {
		plain
		Void bool
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return fmt.Errorf("read the judgement of a path: %w", err)
	}
	*p = JudgedPath(read.plain)
	if read.Void {
		p.Result = Void
	}
	return nil
}

// UnmarshalJSON reads a judgement as Marshal wrote it, or as the first release stored it: as an agent without data,
// with a mark if the agent was void.
func (a *JudgedAgent) UnmarshalJSON(raw []byte) error {
	type plain JudgedAgent
	var read struct {
		plain
		Void bool
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return fmt.Errorf("read the judgement of an agent: %w", err)
	}
	*a = JudgedAgent(read.plain)
	if read.Void {
		a.Result = Void
	}
	return nil
}
