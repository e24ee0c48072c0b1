package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
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
	known, err := equivalents(s.root)
	if err != nil {
		return err
	}
	size := min(s.sample, len(s.all))
	fmt.Fprintf(out, "%s: %d mutants, a sample of %d with seed %d\n", s.path, len(s.all), size, s.seed)
	trials, refused, err := s.draw(ctx)
	if err != nil || len(trials) == 0 {
		return err
	}
	limit, err := s.clean(ctx)
	if err != nil {
		return err
	}
	slots := make(chan struct{}, s.parallel)
	var all sync.WaitGroup
	for _, t := range trials {
		slots <- struct{}{}
		all.Go(func() {
			t.outcome = s.try(ctx, t.binaries, t.env, limit)
			<-slots
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.print(out, trials, refused, known)
	if _, err := s.clean(ctx); err != nil {
		return fmt.Errorf("some mutants may not have been killed but for another reason: %w", err)
	}
	return nil
}

// clean runs the tests without a mutant and returns how long they may take with one.
func (s *session) clean(ctx context.Context) (time.Duration, error) {
	binaries, out, err := s.build(ctx, "the package as it is", nil)
	if err != nil {
		return 0, fmt.Errorf("%w:\n%s", err, out)
	}
	begin := time.Now()
	if s.try(ctx, binaries, variable+"=0", time.Hour) != survived {
		return 0, fmt.Errorf("the tests of %s fail without any mutant", s.pkg)
	}
	return max(shortest, patience*time.Since(begin)), nil
}

// try runs the test programs one after the other until one fails.
func (s *session) try(ctx context.Context, binaries []string, env string, limit time.Duration) outcome {
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
		switch err := cmd.Run(); {
		case ctx.Err() != nil:
			return late
		case err != nil:
			return killed
		}
	}
	return survived
}

// print writes the survivors and the shares.
func (s *session) print(out io.Writer, trials []*trial, refused int, known map[string]string) {
	slices.SortFunc(trials, func(a, b *trial) int {
		return cmp.Or(cmp.Compare(a.mutant.File, b.mutant.File), cmp.Compare(a.mutant.Line, b.mutant.Line),
			cmp.Compare(a.mutant.Becomes, b.mutant.Becomes))
	})
	var dead, slow, equal int
	for _, t := range trials {
		_, listed := known[t.mutant.key()]
		switch {
		case t.outcome == killed:
			dead++
		case t.outcome == late:
			slow++
			fmt.Fprintf(out, "timed out  %s\n", t.mutant)
		case listed:
			equal++
		default:
			fmt.Fprintf(out, "survived   %s\n", t.mutant)
		}
	}
	matter := len(trials) - equal
	fmt.Fprintf(out, "%s: killed %d of %d that matter (%.1f %%); ",
		s.path, dead+slow, matter, 100*float64(dead+slow)/float64(max(matter, 1)))
	fmt.Fprintf(out, "%d of the killed timed out, %d equivalents survived, %d did not compile\n", slow, equal, refused)
}
