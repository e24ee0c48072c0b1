package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tries is how often a run is made before the gate gives up.
	tries = 6
	// look is how long the machine is watched before a run, idle how long one waits for it to be idle.
	look = 200 * time.Millisecond
	idle = 20 * time.Second
)

// ErrBusy is for a machine on which nothing can be measured.
var ErrBusy = errors.New("the machine is too busy")

// Gate lets runs count only when other processes took little of the machine's CPUs.
type Gate struct {
	// Limit is how many CPUs others may take on average.
	Limit float64
	// Idle is how long a run waits for a machine that is idle enough; 0 is 20 s.
	Idle time.Duration
	// Waiting is told how many CPUs others take before a run that has to wait, Thrown how many they took during one
	// that does not count. Both may be nil.
	Waiting, Thrown func(foreign float64)
}

// Passed is a run that counts.
type Passed struct {
	Finished
	// Server is how many CPU seconds the servers that live on used meanwhile.
	Server float64
	// Foreign is how many CPUs others took, Repeats how many runs were thrown away before.
	Foreign float64
	Repeats int
}

// Try makes the run until it counts. The servers are processes that serve it and live on; a server that lives within
// the run adds its CPU time to Finished.Beside.
func (g Gate) Try(ctx context.Context, servers []int, run func() (Finished, error)) (Passed, error) {
	worst := 0.0
	for repeats := range tries {
		taken, err := g.wait(ctx)
		if err != nil {
			return Passed{}, err
		}
		worst = max(worst, taken)
		p, err := once(servers, run)
		if err != nil {
			return Passed{}, err
		}
		if p.Foreign <= g.Limit {
			p.Repeats = repeats
			return p, nil
		}
		worst = max(worst, p.Foreign)
		say(g.Thrown, p.Foreign)
	}
	return Passed{}, fmt.Errorf("%w: other processes took up to %.2f CPUs in %d runs, the limit is %.2f; stop them, "+
		"or allow more with -foreign", ErrBusy, worst, tries, g.Limit)
}

// wait waits until others take less than the limit, for a bounded time, and returns what they took at last. A run that
// begins on a busy machine is caught afterwards, so running out of time is no error.
func (g Gate) wait(ctx context.Context) (float64, error) {
	deadline := time.Now().Add(cmp.Or(g.Idle, idle))
	for looks := 0; ; looks++ {
		before, err := readBusy()
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(look):
		}
		after, err := readBusy()
		if err != nil {
			return 0, err
		}
		taken := Foreign(after-before, 0, look.Seconds())
		if taken <= g.Limit || time.Now().After(deadline) {
			return taken, nil
		}
		if looks == 0 {
			say(g.Waiting, taken)
		}
	}
}

func say(to func(float64), foreign float64) {
	if to != nil {
		to(foreign)
	}
}

func once(servers []int, run func() (Finished, error)) (Passed, error) {
	before, err := readMoment(servers)
	if err != nil {
		return Passed{}, err
	}
	began := time.Now()
	finished, err := run()
	if err != nil {
		return Passed{}, err
	}
	wall := time.Since(began).Seconds()
	after, err := readMoment(servers)
	if err != nil {
		return Passed{}, err
	}
	p := Passed{Finished: finished, Server: after.servers - before.servers}
	p.Foreign = Foreign(after.busy-before.busy, p.CPU+p.Beside+p.Server+after.self-before.self, wall)
	return p, nil
}

type moment struct{ busy, servers, self float64 }

func readMoment(servers []int) (m moment, err error) {
	if m.busy, err = readBusy(); err != nil {
		return m, err
	}
	for _, pid := range servers {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return m, fmt.Errorf("the server is gone: %w", err)
		}
		used, err := Used(string(text))
		if err != nil {
			return m, err
		}
		m.servers += used
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return m, fmt.Errorf("read own CPU time: %w", err)
	}
	m.self = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	return m, nil
}

func readBusy() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return Busy(string(text))
}
