package report

import (
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// Usual is what the paths of one kind were like in a round, without the paths that a fault of the round touches: what
// later rounds of the same task may expect of such paths.
type Usual struct {
	Rung    ladder.Rung     `json:"Rung"`
	Family  topology.Family `json:"Family,omitempty"`
	Method  ladder.Method   `json:"Method"`
	Large   bool            `json:"Large,omitempty"`
	Counted bool            `json:"Counted,omitempty"`
	// Paths is how many paths there were, Sent how many probes or requests they had, and Lost how many of these failed.
	Paths int    `json:"Paths"`
	Sent  uint64 `json:"Sent"`
	Lost  uint64 `json:"Lost,omitempty"`
	// Median is the median of the paths' times, Spread the median of their distances from it; both are 0 where no path
	// answered.
	Median time.Duration `json:"Median,omitempty"`
	Spread time.Duration `json:"Spread,omitempty"`
}

// MaxUsual bounds Ladder.Usual.
const MaxUsual = 200
