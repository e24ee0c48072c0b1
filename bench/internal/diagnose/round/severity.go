package round

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Severity is how much a fault loses.
type Severity string

// The severities.
const (
	// Hard is all of the affected probes.
	Hard Severity = "hard"
	// Gray is 2 to 50 % of them, if they are enough to show it.
	Gray Severity = "gray"
	// Faint is 0.5 to 50 %, if a single probe was lost: often there is too little to go by.
	Faint Severity = "faint"
)

// ParseSeverity reads a severity.
func ParseSeverity(text string) (Severity, error) {
	switch s := Severity(text); s {
	case Hard, Gray, Faint:
		return s, nil
	default:
		return "", fmt.Errorf("the severity is %q and must be %s, %s or %s", text, Hard, Gray, Faint)
	}
}

// Draw returns a share of loss, 0 to 1. Shares are equally likely by their logarithm.
func (s Severity) Draw(random *rand.Rand) float64 {
	const most = 0.5
	least := 0.02
	switch s {
	case Hard:
		return 1
	case Faint:
		least = 0.005
	default:
	}
	return least * math.Exp(random.Float64()*math.Log(most/least))
}
