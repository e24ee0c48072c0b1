package observer

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// cpu returns the CPU time used.
func (r *Reader) cpu() (used time.Duration, ok bool) {
	g := r.groups.usage
	switch {
	case g.dir == "":
		return r.self.cpu()
	case g.unified:
		us, ok := parseKeys(r.text(g, "cpu.stat"))["usage_usec"]
		return duration(us, time.Microsecond), ok
	}
	ns, ok := parseNumber(r.text(g, "cpuacct.usage"))
	return duration(ns, time.Nanosecond), ok
}

// memory returns the working set in bytes.
func (r *Reader) memory() (bytes uint64, ok bool) {
	g := r.groups.memory
	current, idle := "memory.usage_in_bytes", "total_inactive_file"
	if g.unified {
		current, idle = "memory.current", "inactive_file"
	}
	if g.dir == "" {
		pages, ok := residentPages(text(r.root, "proc/self/statm"))
		return pages * r.self.page, ok
	}
	charged, ok := parseNumber(r.text(g, current))
	return since(parseKeys(r.text(g, "memory.stat"))[idle], charged), ok
}

// quota returns the CPU limit in cores, 0 without a limit.
func (r *Reader) quota() float64 {
	g := r.groups.cpu
	switch {
	case g.dir == "":
		return 0
	case g.unified:
		return parseQuota(r.text(g, "cpu.max"))
	}
	return parseQuota(r.text(g, "cpu.cfs_quota_us") + " " + r.text(g, "cpu.cfs_period_us"))
}

// throttling returns the kernel's counts of the stops by the CPU quota.
func (r *Reader) throttling() Throttling {
	if r.groups.cpu.dir == "" {
		return Throttling{}
	}
	return parseThrottling(r.text(r.groups.cpu, "cpu.stat"))
}

// parseThrottling reads cpu.stat; its last figure is in microseconds in version 2 and in nanoseconds in version 1.
func parseThrottling(stat string) Throttling {
	keys := parseKeys(stat)
	periods, ok := keys["nr_periods"]
	throttled, both := keys["nr_throttled"]
	if !ok || !both {
		return Throttling{}
	}
	t := Throttling{Known: true, Periods: periods, Throttled: throttled,
		Stopped: duration(keys["throttled_time"], time.Nanosecond)}
	if us, ok := keys["throttled_usec"]; ok {
		t.Stopped = duration(us, time.Microsecond)
	}
	return t
}

// files returns the number of open descriptors.
func (r *Reader) files() uint64 {
	// Since Linux 6.2 the size of the folder is the number of descriptors. Reading thousands of names each second would
	// cost more.
	if info, err := fs.Stat(r.root, "proc/self/fd"); err == nil && info.Size() > 0 {
		return uint64(info.Size()) // #nosec G115 -- it is above 0
	}
	opened, err := r.root.Open("proc/self/fd")
	if err != nil {
		return 0
	}
	defer func() { _ = opened.Close() }()
	folder, ok := opened.(fs.ReadDirFile)
	if !ok {
		return 0
	}
	// One of the descriptors is the open folder itself.
	return since(1, entries(folder))
}

// entries returns the number of names in the folder, 0 when it cannot be read to its end.
func entries(folder fs.ReadDirFile) uint64 {
	const batch = 512
	var n uint64
	for {
		some, err := folder.ReadDir(batch)
		n += uint64(len(some))
		switch {
		case errors.Is(err, io.EOF) || (err == nil && len(some) == 0):
			return n
		case err != nil:
			return 0
		}
	}
}

// ports returns the number of local ports for connections to one address.
func (r *Reader) ports() uint64 {
	const at = "proc/sys/net/ipv4/"
	return parsePorts(text(r.root, at+"ip_local_port_range"), text(r.root, at+"ip_local_reserved_ports"))
}

// number returns the number in the file, 0 when there is none.
func (r *Reader) number(name string) uint64 {
	n, _ := parseNumber(text(r.root, name))
	return n
}

func (r *Reader) text(g group, file string) string { return text(r.root, path.Join(g.dir, file)) }

// parseNumber reads one decimal number and white space around it.
func parseNumber(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}

// parseKeys reads lines of "key number"; others are left out.
func parseKeys(s string) map[string]uint64 {
	keys := map[string]uint64{}
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(line, " ")
		if n, ok := parseNumber(value); ok {
			keys[key] = n
		}
	}
	return keys
}

// parseQuota reads "quota period", both in microseconds, as cores. The quota is "max" (version 2) or -1 (version 1)
// without a limit, which is 0.
func parseQuota(s string) float64 {
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return 0
	}
	quota, ok := parseNumber(fields[0])
	period, both := parseNumber(fields[1])
	if !ok || !both || period == 0 {
		return 0
	}
	return float64(quota) / float64(period)
}

// residentPages is the second field of /proc/<pid>/statm.
func residentPages(statm string) (pages uint64, ok bool) {
	fields := strings.Fields(statm)
	if len(fields) < 2 {
		return 0, false
	}
	return parseNumber(fields[1])
}

// parsePorts counts the ports of a range "first last" that are not reserved; reserved ones are numbers and ranges "a-b"
// between commas.
func parsePorts(span, reserved string) uint64 {
	ends := strings.Fields(span)
	if len(ends) != 2 {
		return 0
	}
	first, ok := port(ends[0])
	last, both := port(ends[1])
	if !ok || !both || last < first {
		return 0
	}
	var taken [math.MaxUint16 + 1]bool
	for some := range strings.SplitSeq(strings.TrimSpace(reserved), ",") {
		from, to, isRange := strings.Cut(some, "-")
		if !isRange {
			to = from
		}
		a, ok := port(from)
		b, both := port(to)
		for p := int(a); ok && both && p <= int(b); p++ {
			taken[p] = true
		}
	}
	var free uint64
	for p := int(first); p <= int(last); p++ {
		if !taken[p] {
			free++
		}
	}
	return free
}

func port(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// duration is n units, or the longest duration where that is more.
func duration(n uint64, unit time.Duration) time.Duration {
	if n > math.MaxInt64/uint64(unit) { // #nosec G115 -- units are above 0
		return math.MaxInt64
	}
	return time.Duration(n) * unit // #nosec G115 -- it is below the largest duration
}
