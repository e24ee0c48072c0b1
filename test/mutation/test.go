package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// outcome is what came of one mutant.
type outcome int

const (
	survived outcome = iota
	killed
	// late is a mutant whose tests did not end in time: it counts as killed, for somebody would have waited in vain.
	late
	// refused is a mutant that does not compile.
	refused
	// equivalent is a survivor that is listed as one.
	equivalent
)

const (
	// patience is how many times as long as without a mutant the tests may take, shortest how long they may take at
	// least.
	patience = 6
	shortest = 5 * time.Second
	// memory bounds the address space of a test program in KiB: a loop that lost its end must not take the machine
	// with it.
	memory = 4 << 20
)

// test builds and tests the sample and prints what came of it.
func (s *session) test(ctx context.Context, out io.Writer) error {
	known, err := s.equivalents()
	if err != nil {
		return err
	}
	size := min(s.sample, len(s.all))
	fmt.Fprintf(out, "%s: %d mutants, a sample of %d with seed %d\n", s.path, len(s.all), size, s.seed)
	if s.only == "" {
		s.stale(out, known)
	}
	trials, replaced, err := s.draw(ctx)
	if err != nil || len(trials) == 0 {
		return err
	}
	limit, err := s.clean(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(trials, func(a, b *trial) int {
		// Those that are still to be built take longer.
		return cmp.Or(cmp.Compare(len(b.binaries), len(a.binaries)),
			cmp.Compare(a.mutant.File, b.mutant.File), cmp.Compare(a.mutant.from, b.mutant.from),
			cmp.Compare(a.mutant.Becomes, b.mutant.Becomes))
	})
	s.run(ctx, trials, limit, func(t *trial) { t.print(out, known, s.verbose) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.sum(out, trials, replaced)
	if _, err := s.clean(ctx); err != nil {
		return fmt.Errorf("some mutants may not have been killed but for another reason: %w", err)
	}
	return nil
}

// run tests the mutants and calls done for each, one at a time.
func (s *session) run(ctx context.Context, trials []*trial, limit time.Duration, done func(*trial)) {
	slots := make(chan struct{}, s.parallel)
	var all sync.WaitGroup
	var one sync.Mutex
	for _, t := range trials {
		slots <- struct{}{}
		all.Go(func() {
			t.outcome, t.by = s.once(ctx, t, limit)
			<-slots
			one.Lock()
			defer one.Unlock()
			done(t)
		})
	}
	all.Wait()
}

// once builds the mutant where that is still to be done, and tests it. Programs of its own are removed after that.
func (s *session) once(ctx context.Context, t *trial, limit time.Duration) (came outcome, by string) {
	binaries := t.binaries
	if binaries == nil {
		var err error
		if binaries, err = s.single(ctx, t.mutant); err != nil {
			return refused, ""
		}
		defer func() { _ = os.RemoveAll(filepath.Dir(binaries[0])) }()
	}
	// A busy machine makes late what a second try, with more time, makes good.
	if came, by = s.try(ctx, binaries, t.env, limit); came == late {
		came, by = s.try(ctx, binaries, t.env, 2*limit)
	}
	return came, by
}

// clean runs the tests without a mutant and returns how long they may take with one.
func (s *session) clean(ctx context.Context) (time.Duration, error) {
	binaries, out, err := s.build(ctx, "the package as it is", nil)
	if err != nil {
		return 0, fmt.Errorf("%w:\n%s", err, out)
	}
	begin := time.Now()
	if came, by := s.try(ctx, binaries, variable+"=0", time.Hour); came != survived {
		return 0, fmt.Errorf("the tests of %s fail without any mutant: %s", s.pkg, by)
	}
	return max(shortest, patience*time.Since(begin)), nil
}

// try runs the test programs one after the other until one fails, and returns what that one said first.
func (s *session) try(
	ctx context.Context, binaries []string, env string, limit time.Duration,
) (came outcome, by string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, binary := range binaries {
		cmd := exec.CommandContext(ctx, "sh", "-c",
			fmt.Sprintf("ulimit -v %d; exec %s -test.failfast -test.timeout=%s", memory, binary, limit+time.Minute))
		cmd.Dir = s.folders[i]
		cmd.Env = append(os.Environ(), env)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		said, err := cmd.CombinedOutput()
		switch {
		case ctx.Err() != nil:
			return late, ""
		case err != nil:
			return killed, reason(string(said))
		}
	}
	return survived, ""
}

// reason returns the line that names the failing test, or the panic.
func reason(said string) string {
	for l := range strings.Lines(said) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "--- FAIL") || strings.HasPrefix(l, "panic:") {
			return l
		}
	}
	return "nothing"
}

// print writes the mutant, unless it is known to be equivalent; one that was killed by a failure where all are asked
// for.
func (t *trial) print(out io.Writer, known map[string]string, all bool) {
	_, listed := known[t.mutant.key()]
	switch {
	case t.outcome == killed && all:
		fmt.Fprintf(out, "killed     %s, by %s\n", t.mutant, t.by)
	case t.outcome == late:
		fmt.Fprintf(out, "timed out  %s\n", t.mutant)
	case t.outcome == survived && listed:
		t.outcome = equivalent
	case t.outcome == survived:
		fmt.Fprintf(out, "survived   %s\n", t.mutant)
	}
}

// sum writes the shares.
func (s *session) sum(out io.Writer, trials []*trial, replaced int) {
	var all [equivalent + 1]int
	for _, t := range trials {
		all[t.outcome]++
	}
	dead, matter := all[killed]+all[late], len(trials)-all[equivalent]-all[refused]
	fmt.Fprintf(out, "%s: killed %d of %d that matter (%.1f %%); ",
		s.path, dead, matter, 100*float64(dead)/float64(max(matter, 1)))
	fmt.Fprintf(out, "%d of the killed timed out, %d equivalents survived, %d did not compile\n",
		all[late], all[equivalent], all[refused]+replaced)
}
