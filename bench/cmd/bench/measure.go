package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"kdoctor.io/kdoctor/bench/internal/part"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/study"
)

// session is one run of the bench.
type session struct {
	log     io.Writer
	file    *os.File
	began   time.Time
	records []study.Record
	// failed is how many runs went wrong, repeats how many did not count because others used the machine.
	failed, repeats int
	// expected is the sum over all parts, done the part of it that is over, both as if nothing were repeated.
	expected, done, before time.Duration
	// unready says of parts that could not be prepared why.
	unready map[string]string
	runner  part.Runner
}

// measure runs the parts and prints the table, also of what was measured before an error ended it.
func measure(ctx context.Context, o options, out, log io.Writer) error {
	programs, err := find(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kdoctor-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	machine := describe(ctx, programs, o.foreign)
	s := &session{log: log, began: time.Now(), unready: map[string]string{}}
	if s.file, err = open(o.results, machine); err != nil {
		return err
	}
	defer s.file.Close()
	s.runner = part.Runner{Programs: programs, Gate: rig.Gate{Limit: o.foreign, Waiting: s.waiting, Thrown: s.thrown},
		Rounds: o.rounds, Length: o.length, Dir: dir,
		Random:   rand.New(rand.NewPCG(o.seed, o.seed)), // #nosec G404 -- the order of contestants, no secret
		Progress: s.progress, Record: s.record, Failed: s.fail}
	err = s.run(ctx, o.chosen())
	s.table(out, o.chosen(), machine)
	fmt.Fprintf(log, "figures of every run are in %s\n", s.file.Name())
	return err
}

// open opens the file of results and begins this session's lines with the machine.
func open(dir string, m study.Machine) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of results: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, m.Date+"-"+slug(m)+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY,
		0o644)
	if err != nil {
		return nil, fmt.Errorf("open the file of results: %w", err)
	}
	if err := json.NewEncoder(file).Encode(m); err != nil {
		file.Close()
		return nil, fmt.Errorf("write results: %w", err)
	}
	return file, nil
}

func (s *session) run(ctx context.Context, parts []part.Part) error {
	for i := range parts {
		parts[i] = part.Available(parts[i], s.runner.Programs)
		s.expected += s.runner.Expected(parts[i])
	}
	for _, p := range parts {
		err := s.runner.Run(ctx, p)
		var unready *part.UnreadyError
		switch {
		case errors.As(err, &unready):
			s.unready[p.Name] = unready.Error()
			fmt.Fprintf(s.log, "%s is not measured: %v\n", p.Name, unready)
		case err != nil:
			return fmt.Errorf("part %s: %w", p.Name, err)
		}
		s.before += s.runner.Expected(p)
		s.done = s.before
	}
	if len(s.records) == 0 {
		return errors.New("no run succeeded")
	}
	return nil
}

// progress says what is run now, and how long all will take if it goes on as it did.
func (s *session) progress(p part.Part, round, rounds int, contestant string) {
	each := s.runner.Expected(p) / time.Duration(rounds*len(p.Contestants))
	left := s.expected - s.done
	if s.done > 0 {
		left = time.Duration(float64(left) * float64(time.Since(s.began)) / float64(s.done))
	}
	s.done += each
	fmt.Fprintf(s.log, "%-14s round %2d of %2d  %-16s about %v left\n", p.Name, round, rounds, contestant,
		left.Round(time.Second))
}

func (s *session) record(r study.Record) error {
	s.records = append(s.records, r)
	if err := json.NewEncoder(s.file).Encode(r); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func (s *session) fail(p part.Part, contestant string, err error) {
	s.failed++
	fmt.Fprintf(s.log, "%s: %s has no figure this round: %v\n", p.Name, contestant, err)
}

func (s *session) waiting(foreign float64) {
	fmt.Fprintf(s.log, "  others take %.2f CPUs: waiting until the machine is idle\n", foreign)
}

func (s *session) thrown(foreign float64) {
	s.repeats++
	fmt.Fprintf(s.log, "  others took %.2f CPUs during this run: it does not count\n", foreign)
}

func (s *session) table(out io.Writer, parts []part.Part, m study.Machine) {
	var rows []study.Row
	for _, p := range parts {
		for _, g := range p.Goals {
			row := study.Judge(g, s.records)
			if row.Verdict == study.NotMeasured {
				row.Note = ""
			}
			rows = append(rows, row)
		}
	}
	study.Table(out, rows, s.records, s.repeats, m)
	for _, p := range parts {
		if reason := s.unready[p.Name]; reason != "" {
			fmt.Fprintf(out, "Part %s is not measured: %s.\n", p.Name, reason)
		}
	}
	if s.failed > 0 {
		fmt.Fprintf(out, "Runs that failed and are in no figure: %d.\n", s.failed)
	}
}
