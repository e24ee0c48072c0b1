// Package observer measures how well this process could observe while a round ran: the CPU time and memory that it
// used, how its CPU quota and garbage collector stopped it, and how near it came to its limits. A reader of a
// measurement must know how good the observer was.
package observer

import (
	"context"
	"io/fs"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// sampleEvery is how often a process reads its own figures while a round runs.
const sampleEvery = time.Second

// Reading has the figures of one moment. A figure that could not be read is 0, or not Known. Counters count from an
// unknown moment on: only the difference of two readings of the same reader means anything.
type Reading struct {
	// Known reports that both CPU and Memory could be read.
	Known bool
	// CPU is the CPU time used by the process's own control group, as in a container, or by the process when it has
	// none.
	CPU time.Duration
	// Memory is the working set of the process's own control group in bytes: the memory charged to the group, less file
	// pages that were not used lately. The kernel takes such pages back first, and kills only when the working set
	// exceeds the limit. Without a group of its own, Memory is the process's resident memory.
	Memory uint64
	// Quota is the group's CPU limit in cores, 0 without a limit. Limits of groups above it are not read.
	Quota      float64
	Throttling Throttling
	// Files is the number of open descriptors, FileLimit the number that may be open.
	Files, FileLimit uint64
	// Ports is the number of local ports that connections to one address may use.
	Ports uint64
	// Conntrack is the number of connections that the kernel tracks in the process's network namespace, ConntrackLimit
	// the number that it can track.
	Conntrack, ConntrackLimit uint64
	Pauses                    Pauses
}

// Throttling counts the enforcement periods of the CPU quota.
type Throttling struct {
	Known bool
	// Periods is the number of periods in which the group had something to run, Throttled the number of periods in
	// which the group was stopped. Stopped is how long it was stopped in all; as in the kernel, the stops of several
	// CPUs add up.
	Periods, Throttled uint64
	Stopped            time.Duration
}

// Reader reads the figures of this process. A Reader is safe for concurrent use. The zero value knows no figure.
type Reader struct {
	// root is the file system from its root; nil when there is nothing to read.
	root fs.FS
	// groups are the process's own control groups.
	groups groups
	self   process
}

// process has the figures that come from system calls.
type process struct {
	// cpu returns the CPU time that this process has used; ok is false when nobody knows it.
	cpu func() (used time.Duration, ok bool)
	// fileLimit is the number of descriptors that may be open, 0 when nobody knows it.
	fileLimit func() uint64
	// page is the size of a page of memory in bytes.
	page uint64
}

// Read returns all figures. A source that is missing or makes no sense costs only its own figure.
func (r *Reader) Read() Reading {
	if r.root == nil {
		return Reading{}
	}
	now := Reading{
		Quota:          r.quota(),
		Throttling:     r.throttling(),
		Files:          r.files(),
		FileLimit:      r.self.fileLimit(),
		Ports:          r.ports(),
		Conntrack:      r.number("proc/sys/net/netfilter/nf_conntrack_count"),
		ConntrackLimit: r.number("proc/sys/net/netfilter/nf_conntrack_max"),
		Pauses:         readPauses(),
	}
	cpu, cpuKnown := r.cpu()
	memory, memoryKnown := r.memory()
	if cpuKnown && memoryKnown {
		now.Known, now.CPU, now.Memory = true, cpu, memory
	}
	return now
}

// Watch reads each second until the context ends, and calls update with every new state of the result. The last update
// comes after the end, so that a round shorter than the interval is measured too. Resources are Known only when CPU and
// memory could be read at the start. Watch leaves Grid of report.Observer out, which only the load knows.
func Watch(ctx context.Context, read func() Reading, update func(report.Resources, report.Observer)) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	t := begin(read(), time.Now())
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		t.add(read(), time.Now())
		update(t.used, t.health)
	}
}

// tally sums up the readings of a round.
type tally struct {
	start time.Time
	first Reading
	// last is the reading from which the next interval's CPU use is counted, at lastAt.
	last   Reading
	lastAt time.Time
	// throttling has the first known counts.
	throttling Throttling

	used   report.Resources
	health report.Observer
}

func begin(first Reading, at time.Time) *tally {
	t := &tally{start: at, first: first, last: first, lastAt: at}
	t.observe(first)
	return t
}

func (t *tally) add(now Reading, at time.Time) {
	t.observe(now)
	if !t.first.Known || !now.Known {
		return
	}
	// The rest of an interval is too short to say anything about the maximum, unless there was no whole interval.
	if span := at.Sub(t.lastAt); span >= sampleEvery/2 || t.used.MaxCPU == 0 {
		t.used.MaxCPU = max(t.used.MaxCPU, percent(now.CPU-t.last.CPU, span))
		t.last, t.lastAt = now, at
	}
	t.used.MeanCPU = percent(now.CPU-t.first.CPU, at.Sub(t.start))
	t.used.MaxMemory = max(t.used.MaxMemory, t.first.Memory, now.Memory)
	t.used.Known = true
}

// observe takes over all figures except CPU and memory.
func (t *tally) observe(now Reading) {
	h := &t.health
	if now.Quota > 0 && (h.Quota == 0 || now.Quota < h.Quota) {
		// A limit may change while the group runs; the tightest limit explains most of the stops.
		h.Quota = now.Quota
	}
	if now.Throttling.Known {
		if !t.throttling.Known {
			t.throttling = now.Throttling
		}
		h.Periods = since(t.throttling.Periods, now.Throttling.Periods)
		h.ThrottledPeriods = since(t.throttling.Throttled, now.Throttling.Throttled)
		h.Throttled = max(0, now.Throttling.Stopped-t.throttling.Stopped)
	}
	h.LongestPause = max(h.LongestPause, now.Pauses.longestSince(t.first.Pauses))
	h.Files, h.FileLimit = max(h.Files, now.Files), max(h.FileLimit, now.FileLimit)
	h.Ports = max(h.Ports, now.Ports)
	h.Conntrack, h.ConntrackLimit = max(h.Conntrack, now.Conntrack), max(h.ConntrackLimit, now.ConntrackLimit)
}

// since returns how far a counter has advanced, 0 for a counter that was reset.
func since(first, now uint64) uint64 {
	if now < first {
		return 0
	}
	return now - first
}

// percent returns CPU time in an interval as a percentage of one core.
func percent(cpu, wall time.Duration) float64 {
	if wall <= 0 || cpu <= 0 {
		return 0
	}
	return 100 * float64(cpu) / float64(wall)
}
