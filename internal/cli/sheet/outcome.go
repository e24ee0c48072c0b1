package sheet

import systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"

// outcome is how a target, or several together, came off; the worse, the higher.
type outcome int

const (
	passed outcome = iota
	// void: nothing is left to judge because agents were deleted, drained or restarted, which is nobody's fault.
	void
	noData
	// toolLimited: the agent itself was the limit, so the figures say nothing about the network.
	toolLimited
	failed
)

// fails reports whether the round fails because of the outcome.
func (o outcome) fails() bool { return o > void }

// fault reports whether the outcome may be the fault of something beyond the agent.
func (o outcome) fault() bool { return o == noData || o == failed }

// outcomeOf reads the report's word for what is neither a success nor a plain failure; a word of a later release is a
// failure.
func outcomeOf(d systemv1beta1.TargetDetail) outcome {
	switch {
	case d.Succeed:
		return passed
	case d.Result == systemv1beta1.ResultVoid:
		return void
	case d.Result == toolLimited.String():
		return toolLimited
	case d.Result == noData.String():
		return noData
	default:
		return failed
	}
}

// outcomeIf is passed or failed.
func outcomeIf(success bool) outcome {
	if success {
		return passed
	}
	return failed
}

// String is the word in the column RESULT.
func (o outcome) String() string {
	switch o {
	case passed:
		return "pass"
	case void:
		return systemv1beta1.ResultVoid
	case noData:
		return "no data"
	case toolLimited:
		return "tool-limited"
	default:
		return "FAIL"
	}
}

// Tone is how a result is meant to look.
type Tone string

// The tones: of a success, of what says nothing, of what is the tool's own limit, and of what is wrong.
const (
	Good    Tone = "good"
	Quiet   Tone = "quiet"
	Caution Tone = "caution"
	Bad     Tone = "bad"
)

// tone is the outcome's.
func (o outcome) tone() Tone {
	switch o {
	case passed:
		return Good
	case void:
		return Quiet
	case toolLimited:
		return Caution
	default:
		return Bad
	}
}

// escape is the terminal's escape for the tone: green, dim, yellow, bold red.
func (t Tone) escape() string {
	switch t {
	case Good:
		return "\x1b[32m"
	case Quiet:
		return "\x1b[2m"
	case Caution:
		return "\x1b[33m"
	default:
		return "\x1b[1;31m"
	}
}

// paint colours a result or a heading.
func paint(text string, o outcome, color bool) string {
	if !color || text == "" {
		return text
	}
	return o.tone().escape() + text + "\x1b[0m"
}
