package rig

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// perSecond is the unit of times under /proc: USER_HZ, which is 100 on every architecture that Linux still runs on
// (proc(5)).
const perSecond = 100

var errStat = errors.New("not the format of /proc")

// Busy is how many seconds all CPUs together were busy since the machine began, from the text of /proc/stat. What the
// hypervisor took away counts as busy: it disturbs a measurement as any other process does. Guests are already in user
// and nice.
func Busy(stat string) (float64, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("first line of /proc/stat %q: %w", line, errStat)
	}
	// user nice system idle iowait irq softirq steal
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		ticks += n
	}
	return float64(ticks) / perSecond, nil
}

// Used is how many CPU seconds a process used, from the text of /proc/<pid>/stat: user and system time of all its
// threads.
func Used(stat string) (float64, error) {
	// The program's name stands in parentheses and may hold anything; fields are counted behind it.
	at := strings.LastIndexByte(stat, ')')
	if at < 0 {
		return 0, fmt.Errorf("%q: %w", stat, errStat)
	}
	fields := strings.Fields(stat[at+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q: %w", stat, errStat)
	}
	var ticks uint64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return float64(ticks) / perSecond, nil
}

// Foreign is how many CPUs were taken by others on average over the wall seconds, when known is what the processes of
// the measurement used.
func Foreign(busy, known, wall float64) float64 {
	if wall <= 0 {
		return 0
	}
	return max(0, busy-known) / wall
}
