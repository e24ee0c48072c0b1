package store

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

const (
	// format is the version of the blobs' content.
	format = 1
	// maxBlob bounds a blob as it is kept, maxJSON what it may unpack to, both in bytes.
	maxBlob = 64 << 20
	maxJSON = 512 << 20
)

type roundBlob struct {
	Format  int             `json:"format"`
	Round   report.Round    `json:"round"`
	Verdict verdict.Verdict `json:"verdict"`
	Spec    json.RawMessage `json:"spec,omitempty"`
}

type planBlob struct {
	Format   int          `json:"format"`
	Key      schedule.Key `json:"key"`
	Mesh     mesh.Mesh    `json:"mesh"`
	Started  time.Time    `json:"started"`
	Deadline time.Time    `json:"deadline"`
}

func encodeRound(kept verdict.StoredRound) func(io.Writer) error {
	kept.Round.Agents = finite(kept.Round.Agents)
	return pack(roundBlob{Format: format, Round: kept.Round, Verdict: kept.Verdict, Spec: kept.Spec})
}

func encodePlan(key schedule.Key, plan StoredPlan) func(io.Writer) error {
	return pack(planBlob{Format: format, Key: key, Mesh: plan.Mesh, Started: plan.Started, Deadline: plan.Deadline})
}

// finite forgets the resources of agents that claim a CPU use which is no number: JSON has no such thing,
// and one agent's nonsense must not cost the others' reports.
func finite(agents []report.AgentReport) []report.AgentReport {
	odd := func(a report.AgentReport) bool {
		return math.IsNaN(a.Resources.MaxCPU) || math.IsInf(a.Resources.MaxCPU, 0) || math.IsNaN(a.Resources.MeanCPU) ||
			math.IsInf(a.Resources.MeanCPU, 0)
	}
	if !slices.ContainsFunc(agents, odd) {
		return agents
	}
	agents = slices.Clone(agents)
	for i := range agents {
		if odd(agents[i]) {
			agents[i].Resources = report.Resources{}
		}
	}
	return agents
}

func pack(content any) func(io.Writer) error {
	return func(w io.Writer) error {
		text, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if len(text) > maxJSON {
			return fmt.Errorf("encode: %d bytes are more than the %d that can be read again", len(text), maxJSON)
		}
		z := gzip.NewWriter(w)
		if _, err := z.Write(text); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		return z.Close()
	}
}

func decodeRound(key schedule.Key, body []byte) (verdict.StoredRound, error) {
	var b roundBlob
	if err := unpack(body, maxJSON, &b); err != nil {
		return verdict.StoredRound{}, err
	}
	if b.Round.Key != key {
		return verdict.StoredRound{}, fmt.Errorf("it holds round %s: %w", b.Round.Key, ErrCorrupt)
	}
	return verdict.StoredRound{Round: b.Round, Verdict: b.Verdict, Spec: b.Spec}, nil
}

func decodePlan(key schedule.Key, body []byte) (StoredPlan, error) {
	var b planBlob
	if err := unpack(body, maxJSON, &b); err != nil {
		return StoredPlan{}, err
	}
	if b.Key != key {
		return StoredPlan{}, fmt.Errorf("it holds plan %s: %w", b.Key, ErrCorrupt)
	}
	return StoredPlan{Mesh: b.Mesh, Started: b.Started, Deadline: b.Deadline}, nil
}

// unpack reads one JSON value of at most limit bytes and insists on the end of the stream, where gzip's checksum is.
func unpack(body []byte, limit int64, into any) error {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	text, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if int64(len(text)) > limit {
		return fmt.Errorf("%w: unpacks to more than %d bytes", ErrCorrupt, limit)
	}
	// The format comes first: another one may have fields that this release would misread.
	var version struct {
		Format int `json:"format"`
	}
	err = json.Unmarshal(text, &version)
	if err == nil && version.Format > format {
		return fmt.Errorf("%w: format %d was written by a newer release; this one reads format %d", ErrCorrupt,
			version.Format, format)
	}
	if err == nil && version.Format != format {
		return fmt.Errorf("%w: format %d is not known", ErrCorrupt, version.Format)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
