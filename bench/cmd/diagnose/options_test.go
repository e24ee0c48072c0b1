package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		all  bool
		bad  bool
	}{
		{"the whole evaluation by default", nil, true, false},
		{"a tenth of it", []string{"-tenth", "-most=200"}, true, false},
		{"one row", []string{"-nodes=200", "-trials=50"}, false, false},
		{"a row's flags without a size", []string{"-trials=50"}, true, true},
		{"too few nodes", []string{"-nodes=1"}, false, true},
		{"an unknown method", []string{"-nodes=10", "-methods=guess"}, false, true},
		{"misses of training seeds", []string{"-nodes=10", "-misses"}, false, false},
		{"misses of evaluation seeds", []string{"-nodes=10", "-misses", "-seed=1000000"}, false, true},
		{"words behind the flags", []string{"now"}, false, true},
		{"an unknown flag", []string{"-fast"}, false, true},
	} {
		o, err := parse(c.args)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !c.bad && o.all != c.all {
			t.Errorf("%s: the whole evaluation is %v", c.name, o.all)
		}
	}
}

func TestEveryRowIsMadeByItsFlags(t *testing.T) {
	for i, row := range table.Rows() {
		o, err := parse(row.Args())
		if err != nil {
			t.Errorf("row %d: %v", i, err)
			continue
		}
		if !reflect.DeepEqual(o.row, row) {
			t.Errorf("row %d is %+v by its flags, and should be %+v", i, o.row, row)
		}
	}
}

func TestOneRow(t *testing.T) {
	var text bytes.Buffer
	args := []string{"-nodes=9", "-trials=3", "-faults=1"}
	if _, err := run(context.Background(), args, &text); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(table.Methods(), "precision, one hard fault") {
		if !strings.Contains(text.String(), name) {
			t.Errorf("%q is not in the table:\n%s", name, &text)
		}
	}
	text.Reset()
	if _, err := run(context.Background(), append(args, "-json"), &text); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range bytes.Lines(text.Bytes()) {
		var r table.Result
		if err := json.Unmarshal(line, &r); err != nil || len(r.Scores) != len(table.Methods()) {
			t.Errorf("%v: %s", err, line)
		}
		if lines++; r.Done != lines {
			t.Errorf("line %d is of %d trials", lines, r.Done)
		}
	}
	if lines != 3 {
		t.Errorf("there are %d lines of 3 trials", lines)
	}
}

func TestMisses(t *testing.T) {
	var text bytes.Buffer
	args := []string{"-nodes=9", "-trials=5", "-faults=2", "-misses", "-methods=threshold"}
	if _, err := run(context.Background(), args, &text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"seed 1\n", "MISSED", "missed, by kind of fault:", "named falsely, by part:"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("%q is not in:\n%s", words, &text)
		}
	}
}

func TestTheKernelEndsARowThatTakesTooLong(t *testing.T) {
	if text := os.Getenv("KDOCTOR_TEST_SPIN"); text != "" {
		args := []string{"-nodes=5000", "-faults=0", "-trials=100", "-end=1s", "-json"}
		_, _ = run(context.Background(), args, io.Discard)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") // #nosec G204 -- this very test
	cmd.Env = append(os.Environ(), "KDOCTOR_TEST_SPIN=yes")
	if err := cmd.Run(); !ended(err) {
		t.Errorf("a row of minutes with a limit of a second: %v", err)
	}
	if ended(errors.New("another error")) || ended(nil) {
		t.Error("another error counts as the end of the CPU time")
	}
}
