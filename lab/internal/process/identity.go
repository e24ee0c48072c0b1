// Package process starts the lab's daemons, writes down who they are, and ends exactly those.
//
// A process is known by its id together with the time at which it began and the boot in which it ran, so that an id
// which the kernel has given to another program since is never taken for a daemon of the lab.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Identity tells one process from every other that there was or will be on this machine.
type Identity struct {
	PID int `json:"pid"`
	// Start is when the process began, in clock ticks after boot.
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// Identify returns the identity of the process that has this id now.
func Identify(pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	start, _, err := parseStat(stat)
	if err != nil {
		return Identity{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	boot, err := bootID()
	if err != nil {
		return Identity{}, err
	}
	return Identity{PID: pid, Start: start, Boot: boot}, nil
}

// Alive says whether this very process still runs. A zombie does not.
func (i Identity) Alive() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", i.PID))
	if err != nil {
		return false
	}
	start, state, err := parseStat(stat)
	if err != nil || start != i.Start || state == 'Z' || state == 'X' {
		return false
	}
	boot, err := bootID()
	return err == nil && boot == i.Boot
}

// Stopped reports whether this very process was stopped by a signal and not continued.
func (i Identity) Stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", i.PID))
	if err != nil {
		return false
	}
	start, state, err := parseStat(stat)
	return err == nil && start == i.Start && state == 'T'
}

// Below returns the processes that a process has started, and those that they have started.
func Below(parent Identity) ([]Identity, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that ends meanwhile is nobody's child any more.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		var state byte
		var owner int
		if _, err := fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d", &state, &owner); err == nil {
			children[owner] = append(children[owner], pid)
		}
	}
	var found []Identity
	for queue := children[parent.PID]; len(queue) > 0; queue = queue[1:] {
		if id, err := Identify(queue[0]); err == nil {
			found = append(found, id)
		}
		queue = append(queue, children[queue[0]]...)
	}
	return found, nil
}

// Signal sends a signal when this very process still runs.
func (i Identity) Signal(s syscall.Signal) error {
	if i.PID <= 1 || !i.Alive() {
		return nil
	}
	if err := syscall.Kill(i.PID, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", s, i.PID, err)
	}
	return nil
}

// parseStat reads start time and state from a line of /proc/<pid>/stat. The program's name, in parentheses, may hold
// anything.
func parseStat(stat []byte) (start uint64, state byte, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("process status %q has no name", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	const startField = 19 // field 22 of the line; the first two are cut off
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("process status %q is short", stat)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("process status %q: %w", stat, err)
	}
	return start, fields[0][0], nil
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("learn which boot this is: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
