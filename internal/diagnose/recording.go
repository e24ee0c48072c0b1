package diagnose

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Recording is everything that the findings of a round are made from. The findings can be made again from it, by
// another release too.
type Recording struct {
	// Past is what earlier rounds of the task were like.
	Past    Past            `json:"Past"`
	Round   report.Round    `json:"Round"`
	Verdict verdict.Verdict `json:"Verdict"`
	// Observations are what the ladder saw.
	Observations []ladder.Observation `json:"Observations"`
	// Snapshot is the cluster when the round began.
	Snapshot topology.Snapshot `json:"Snapshot"`
}

// Locate is LocateAfter for what was recorded.
func (r Recording) Locate() (*report.Ladder, []Finding) {
	return LocateAfter(r.Past, r.Round, r.Verdict, r.Observations, ClusterOf(r.Snapshot))
}

// Findings returns what a report of the round says.
func (r Recording) Findings() []Finding {
	r.Round.Ladder, r.Round.Located = r.Locate()
	return Findings(r.Round, r.Verdict)
}

// Write writes the recording as compressed JSON.
func (r Recording) Write(to io.Writer) error {
	packed := gzip.NewWriter(to)
	if err := errors.Join(json.NewEncoder(packed).Encode(r), packed.Close()); err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}

// ReadRecording reads what Write wrote.
func ReadRecording(from io.Reader) (r Recording, err error) {
	unpacked, err := gzip.NewReader(from)
	if err == nil {
		err = json.NewDecoder(unpacked).Decode(&r)
	}
	if err != nil {
		return Recording{}, fmt.Errorf("read a recording: %w", err)
	}
	return r, nil
}
