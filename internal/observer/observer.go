// Package observer tells how well this process could observe while a round ran: what it used of CPU and memory, how its
// CPU quota and garbage collector stopped it, and how near it came to its limits. Who trusts a measurement must know
// how good the eye was.
package observer

import (
	"context"
	"io/fs"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// sampleEvery is how often a process looks at itself while a round runs.
const sampleEvery = time.Second

// Reading is what was to be read at one moment. What could not be read is 0, or not Known.
// Counters count from some moment before: only the difference of two readings of the same reader means anything.
type Reading struct {
	// Known tells that both CPU and Memory could be read.
	Known bool
	// CPU is the CPU time that was used: by the process's control group where it has one of its own (in a container),
	// else by the process.
	CPU time.Duration
	// Memory is in bytes: the control group's working set, that is what it is charged for less its file pages that
	// nobody used of late. These the kernel takes back first; only when what is left does not fit its limit does it
	// kill. Without a group of its own it is the process's resident memory.
	Memory uint64
	// Quota is the group's CPU limit in cores, 0 without one. Limits of groups above it are not seen.
	Quota      float64
	Throttling Throttling
	// Files is how many descriptors are open, FileLimit how many may be.
	Files, FileLimit uint64
	// Ports is how many local ports connections to one address may use.
	Ports uint64
	// Conntrack is how many connections the kernel tracks in the process's network namespace, ConntrackLimit how many
	// it can.
	Conntrack, ConntrackLimit uint64
	Pauses                    Pauses
}

// Throttling counts the enforcement periods of the CPU quota.
type Throttling struct {
	Known bool
	// Periods is how many there were with something to run, Throttled in how many of them the group was stopped,
	// Stopped for how long in all (each CPU's stop counts for itself, as the kernel has it).
	Periods, Throttled uint64
	Stopped            time.Duration
}

// Reader reads. It is safe for concurrent use. The zero value knows nothing.
type Reader struct {
	// root is the file system from its root; nil where there is nothing to read.
	root fs.FS
	// groups are the control groups that this process has for itself.
	groups groups
	self   process
}

// process is what is asked of the kernel by calls.
type process struct {
	// cpu is the CPU time that this process has used; ok is false where that is not known.
	cpu func() (used time.Duration, ok bool)
	// fileLimit is how many descriptors may be open, 0 where that is not known.
	fileLimit func() uint64
	// page is the size of a page of memory in bytes.
	page uint64
}

// Read reads all that there is to read; what is missing or makes no sense costs only its own figure.
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

// Watch reads each second until the context ends and hands every new state of the result to update; the last one comes
// after the end, so that a round shorter than the interval is measured too. Resources are Known only if use could be
// read at the start. Nothing here knows about report.Observer's Grid: that is the load's to say.
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

// tally is what the readings of a round come to.
type tally struct {
	start time.Time
	first Reading
	// last is the reading from which the next interval's CPU use is counted, at lastAt.
	last   Reading
	lastAt time.Time
	// throttling is the first that was known.
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
	// The rest of an interval is too short to say anything about the maximum, unless it is all there is.
	if span := at.Sub(t.lastAt); span >= sampleEvery/2 || t.used.MaxCPU == 0 {
		t.used.MaxCPU = max(t.used.MaxCPU, percent(now.CPU-t.last.CPU, span))
		t.last, t.lastAt = now, at
	}
	t.used.MeanCPU = percent(now.CPU-t.first.CPU, at.Sub(t.start))
	t.used.MaxMemory = max(t.used.MaxMemory, t.first.Memory, now.Memory)
	t.used.Known = true
}

// observe takes over all but CPU and memory.
func (t *tally) observe(now Reading) {
	h := &t.health
	if now.Quota > 0 && (h.Quota == 0 || now.Quota < h.Quota) {
		// A limit can be changed while the group runs; the tightest is the one that tells most about its stops.
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

// since is the difference of a counter, 0 for one that was set back.
func since(first, now uint64) uint64 {
	if now < first {
		return 0
	}
	return now - first
}

// percent is a share of one core.
func percent(cpu, wall time.Duration) float64 {
	if wall <= 0 || cpu <= 0 {
		return 0
	}
	return 100 * float64(cpu) / float64(wall)
}
