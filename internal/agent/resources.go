package agent

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/report"
)

// sampleEvery is how often an agent looks at itself while a round runs.
const sampleEvery = time.Second

// usage is what the process has used: CPU time since its start, and resident memory in bytes now.
type usage struct {
	cpu    time.Duration
	memory uint64
}

// ownUsage reads the process's usage from the kernel. The agent is the only process of its container, and the process is seen
// the same way under every version of cgroups and outside of containers.
func ownUsage() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read own CPU time: %w", err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return usage{}, fmt.Errorf("read own memory: %w", err)
	}
	pages, err := residentPages(string(statm))
	if err != nil {
		return usage{}, fmt.Errorf("read own memory: %w", err)
	}
	return usage{
		cpu:    time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		memory: pages * uint64(os.Getpagesize()), // #nosec G115 -- a page has a positive size
	}, nil
}

// residentPages is the second field of /proc/<pid>/statm.
func residentPages(statm string) (uint64, error) {
	fields := strings.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has %d fields", len(fields))
	}
	return strconv.ParseUint(fields[1], 10, 64)
}

// watch samples usage until the context ends and hands every new state of the result to update; the last one comes after the end,
// so that a round shorter than the interval is measured too. Where usage cannot be read, Known stays false.
func watch(ctx context.Context, read func() (usage, error), update func(report.Resources)) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	start := time.Now()
	first, err := read()
	if err != nil {
		return
	}
	last, lastAt := first, start
	known := report.Resources{Known: true, MaxMemory: first.memory}
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		now, err := read()
		if err != nil {
			continue
		}
		at := time.Now()
		// The rest of an interval is too short to say anything about the maximum, unless it is all there is.
		if span := at.Sub(lastAt); span >= sampleEvery/2 || known.MaxCPU == 0 {
			known.MaxCPU = max(known.MaxCPU, percent(now.cpu-last.cpu, span))
			last, lastAt = now, at
		}
		known.MeanCPU = percent(now.cpu-first.cpu, at.Sub(start))
		known.MaxMemory = max(known.MaxMemory, now.memory)
		update(known)
	}
}

// percent is a share of one core.
func percent(cpu, wall time.Duration) float64 {
	if wall <= 0 || cpu <= 0 {
		return 0
	}
	return 100 * float64(cpu) / float64(wall)
}

// inFlight is how many attempts the descriptors of this process allow at once: half of them, the rest is for those that probe us.
// It is 0, the load's own default, where the limit cannot be read or is larger.
func inFlight() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur/2 >= load.DefaultInFlight {
		return 0
	}
	return max(int(files.Cur/2), 1) // #nosec G115 -- it is below the default
}
