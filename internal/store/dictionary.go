package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
)

// dictionary has each string and each target of a blob once; rows refer to them by index. Index 0 is the empty string
// and the empty target. It grows from frame to frame.
type dictionary struct {
	strings []string
	targets []target.Target

	// Only a writer needs the rest: where strings and targets are, and how many of them are written.
	stringAt       map[string]uint64
	targetAt       map[target.Target]uint64
	writtenStrings int
	writtenTargets int
}

func newDictionary() *dictionary {
	return &dictionary{strings: []string{""}, targets: []target.Target{{}}, stringAt: map[string]uint64{"": 0},
		targetAt: map[target.Target]uint64{{}: 0}, writtenStrings: 1, writtenTargets: 1}
}

// indexOf returns the index of the string, and adds the string if it is new.
func (d *dictionary) indexOf(s string) uint64 {
	at, known := d.stringAt[s]
	if !known {
		at = uint64(len(d.strings))
		d.strings, d.stringAt[s] = append(d.strings, s), at
	}
	return at
}

// indexOfTarget returns the index of the target, and adds the target if it is new. likely is where it probably is.
func (d *dictionary) indexOfTarget(t *target.Target, likely uint64) uint64 {
	if likely < uint64(len(d.targets)) && d.targets[likely] == *t {
		return likely
	}
	at, known := d.targetAt[*t]
	if !known {
		at = uint64(len(d.targets))
		d.targets, d.targetAt[*t] = append(d.targets, *t), at
	}
	return at
}

// appendStrings appends the strings that are not written yet, each with its length before it.
func (d *dictionary) appendStrings(b []byte) []byte {
	for _, s := range d.strings[d.writtenStrings:] {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	d.writtenStrings = len(d.strings)
	return b
}

// newTargets returns the targets that are not written yet. They are written then.
func (d *dictionary) newTargets() []target.Target {
	added := d.targets[d.writtenTargets:]
	d.writtenTargets = len(d.targets)
	return added
}

// addStrings reads what appendStrings wrote.
func (d *dictionary) addStrings(b []byte) error {
	for len(b) > 0 {
		s, rest, err := cutString(b)
		if err != nil {
			return err
		}
		d.strings, b = append(d.strings, s), rest
	}
	return nil
}

// cutString reads a string with its length before it.
func cutString(b []byte) (s string, rest []byte, err error) {
	text, rest, err := cutBytes(b)
	return string(text), rest, err
}

// cutBytes reads bytes with their length before them.
func cutBytes(b []byte) (text, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) { // #nosec G115 -- size is at most len(b)
		return nil, nil, errors.New("it is cut short")
	}
	b = b[size:]
	return b[:n], b[n:], nil
}

func (d *dictionary) string(at uint64) (string, error) {
	if at >= uint64(len(d.strings)) {
		return "", fmt.Errorf("string %d of %d", at, len(d.strings))
	}
	return d.strings[at], nil
}

func (d *dictionary) target(at uint64) (*target.Target, error) {
	if at >= uint64(len(d.targets)) {
		return nil, fmt.Errorf("target %d of %d", at, len(d.targets))
	}
	return &d.targets[at], nil
}
