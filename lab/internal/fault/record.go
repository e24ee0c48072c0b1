package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Record is what is written down about the faults in a lab. There is none if the lab has no fault.
type Record struct {
	// Before is the lab before the first fault.
	Before Snapshot `json:"before"`
	// Ready are the pods that were ready then, as namespace/name.
	Ready  []string `json:"ready"`
	Faults []Active `json:"faults"`
}

// with returns the record with one fault more.
func (r Record) with(a Active) Record {
	r.Faults = append(slices.Clone(r.Faults), a)
	return r
}

// Active is a fault in a lab.
type Active struct {
	Name string `json:"name"`
	// On and Peer are the names of the nodes that the fault is about, Zones those of their zones. Empty is none.
	On    string   `json:"on,omitempty"`
	Peer  string   `json:"peer,omitempty"`
	Zones []string `json:"zones,omitempty"`
	// Components are those that a diagnosis may name, Cause is the cause that it ought to name.
	Components []string `json:"components"`
	Cause      string   `json:"cause"`
	Aspect     Aspect   `json:"aspect"`
	Steps      []Step   `json:"steps"`
}

// same reports whether two faults are the same at the same place.
func (a Active) same(b Active) bool { return a.Name == b.Name && a.On == b.On && a.Peer == b.Peer }

// read returns the record at path; an empty one if there is none.
func read(path string) (Record, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the record of faults: %w", err)
	}
	var r Record
	if err := json.Unmarshal(content, &r); err != nil {
		return Record{}, fmt.Errorf("read the record of faults: %w", err)
	}
	return r, nil
}

// write replaces the record at path in one step.
func (r Record) write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the record of faults: %w", err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("write the record of faults: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the record of faults: %w", err)
	}
	return nil
}
