package store

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// A stored round is, once it is unpacked, a line of JSON that names the format, and frames: the head; the rest of the
// round; then its agents, one by one. So the head is read without the agents, and neither a writer nor a reader needs
// more memory than one agent takes. Head and frames may get new fields; what changes the meaning of an old one needs a
// new format.

// preamble is how a round of this format begins.
const preamble = `{"format":2}` + "\n"

// headBlob is the head of a stored round: Head in JSON.
type headBlob struct {
	Round   report.Round    `json:"round"`
	Verdict verdict.Verdict `json:"verdict"`
	Spec    json.RawMessage `json:"spec,omitempty"`
	Summary Summary         `json:"summary"`
}

// restBlob is what the head leaves out beside the agents.
type restBlob struct {
	// Targets are the targets of Round.Expected.
	Targets  [][]string          `json:"targets"`
	Backends []report.BackendSet `json:"backends"`
}

// agentBlob is one agent.
type agentBlob struct {
	Report  *report.AgentReport  `json:"report"`
	Verdict *verdict.JudgedAgent `json:"verdict"`
}

// targetBlob is a target of the dictionary. Its fields are those of target.Target.
type targetBlob []plainTarget

type plainTarget target.Target

// roundWriter writes one round.
type roundWriter struct {
	w          io.Writer
	dictionary *dictionary
	// agents, rest and targets make rows.
	agents, rest, targets *rows
	body, dependencies    []byte
	items                 int
}

func newRoundWriter(w io.Writer) (*roundWriter, error) {
	rw := &roundWriter{w: w, dictionary: newDictionary()}
	var err error
	if rw.agents, rw.rest, rw.targets, err = allRows(rw.dictionary); err != nil {
		return nil, err
	}
	return rw, nil
}

// allRows returns the rows of agents, of the rest and of targets.
func allRows(d *dictionary) (agents, rest, targets *rows, err error) {
	if agents, err = newRows(reflect.TypeFor[agentBlob](), d); err == nil {
		rest, err = newRows(reflect.TypeFor[restBlob](), d)
	}
	if err == nil {
		targets, err = newRows(reflect.TypeFor[targetBlob](), d)
	}
	return agents, rest, targets, err
}

// writeRound writes the round, unpacked.
func writeRound(w io.Writer, kept verdict.StoredRound) error {
	rw, err := newRoundWriter(w)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, preamble); err != nil {
		return err
	}
	head := headBlob(headOf(kept))
	// An empty list is stored as such, and not as none.
	head.Round.Agents, head.Verdict.Agents = kept.Round.Agents[:0:0], kept.Verdict.Agents[:0:0]
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if err := writeFrame(w, headFrame, text); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	rest := restBlob{Backends: kept.Round.Backends}
	for _, e := range kept.Round.Expected {
		rest.Targets = append(rest.Targets, e.Targets)
	}
	if err := rw.write(restFrame, nil, rw.rest, reflect.ValueOf(&rest).Elem(), time.Time{}); err != nil {
		return fmt.Errorf("targets and backends: %w", err)
	}
	for agent := range agentsOf(kept) {
		if err := rw.agent(agent); err != nil {
			pod, _ := agent.name()
			return fmt.Errorf("agent %s: %w", pod, err)
		}
	}
	return writeFrame(w, endFrame, nil)
}

// agent writes one agent: its pod and its node, the time from which its times are counted, and the rest in columns.
func (rw *roundWriter) agent(agent Agent) error {
	pod, node := agent.name()
	base := time.Time{}
	if agent.Report != nil {
		finite := finite(*agent.Report)
		agent.Report, base = &finite, agent.Report.Started.Round(0)
	}
	blob := agentBlob(agent)
	return rw.write(agentFrame, agentHead(pod, node, base), rw.agents, reflect.ValueOf(&blob).Elem(), base)
}

// write writes a frame of rows with a head, and before it a frame with the strings and one with the targets that are
// new.
func (rw *roundWriter) write(kind byte, head []byte, of *rows, v reflect.Value, base time.Time) error {
	var err error
	if rw.body, err = of.append(append(rw.body[:0], head...), v, base); err != nil {
		return err
	}
	if rw.items += of.items; rw.items > maxItemsOfRound {
		return fmt.Errorf("the round has more than the %d items that can be read again", maxItemsOfRound)
	}
	var added targetBlob
	for _, t := range rw.dictionary.newTargets() {
		added = append(added, plainTarget(t))
	}
	if rw.dependencies = rw.dependencies[:0]; len(added) > 0 {
		of := reflect.ValueOf(&added).Elem()
		if rw.dependencies, err = rw.targets.append(rw.dependencies, of, time.Time{}); err != nil {
			return err
		}
	}
	if text := rw.dictionary.appendStrings(nil); len(text) > 0 {
		if err := writeFrame(rw.w, stringsFrame, text); err != nil {
			return err
		}
	}
	if len(added) > 0 {
		if err := writeFrame(rw.w, targetsFrame, rw.dependencies); err != nil {
			return err
		}
	}
	return writeFrame(rw.w, kind, rw.body)
}

// finite forgets the resources of an agent that claims a CPU use which is no number: JSON has no such thing, and one
// agent's nonsense must not cost whoever reads reports in JSON the others' reports.
func finite(a report.AgentReport) report.AgentReport {
	for _, share := range [...]float64{a.Resources.MaxCPU, a.Resources.MeanCPU} {
		if math.IsNaN(share) || math.IsInf(share, 0) {
			a.Resources = report.Resources{}
		}
	}
	return a
}
