package scale

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a group of processes with a limit of memory, in version 2 of cgroups or in version 1.
type cgroup struct{ dir string }

// newCgroup makes a cgroup with the limit in bytes; nil for no limit.
func newCgroup(name string, limit int64) (*cgroup, error) {
	if limit == 0 {
		return nil, nil
	}
	const root = "/sys/fs/cgroup"
	group, file := &cgroup{filepath.Join(root, "memory", name)}, "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		group.dir, file = filepath.Join(root, name), "memory.max"
		// It is no error when it is on already, and the next step fails when it is not.
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0o600)
	}
	if err := os.MkdirAll(group.dir, 0o750); err != nil {
		return nil, fmt.Errorf("make a cgroup (this needs root): %w", err)
	}
	if err := os.WriteFile(filepath.Join(group.dir, file), []byte(strconv.FormatInt(limit, 10)), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("limit the memory of a cgroup: %w", err), group.remove())
	}
	return group, nil
}

// procs is the file that takes the processes in; empty without a cgroup.
func (g *cgroup) procs() string {
	if g == nil {
		return ""
	}
	return filepath.Join(g.dir, "cgroup.procs")
}

// kills is how many processes were killed because the limit was reached.
func (g *cgroup) kills() int {
	if g == nil {
		return 0
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(g.dir, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
				count, _ := strconv.Atoi(n)
				return count
			}
		}
	}
	return 0
}

// remove removes the cgroup, in which nothing may run any more.
func (g *cgroup) remove() error {
	if g == nil {
		return nil
	}
	if err := os.Remove(g.dir); err != nil {
		return fmt.Errorf("remove a cgroup: %w", err)
	}
	return nil
}
