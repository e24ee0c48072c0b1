package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/lab/internal/state"
)

const cgroups = "/sys/fs/cgroup"

// The weight of a node's pods against everything else on the machine, in version 1 and version 2 of cgroups; the
// defaults are 1024 and 100. On a cluster of machines of their own the pods of a node would not have to wait for other
// nodes' daemons, nor for the control plane, and a program that measures in a pod would not measure that. Pods among
// themselves share as kubelet has it.
const (
	podShares = "32768"
	podWeight = "3200"
)

// controllers are the cgroup v1 hierarchies that kubelet and runc use.
var controllers = [...]string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
	"hugetlb", "net_cls", "perf_event", "net_prio"}

// unified says whether the machine has cgroup v2 alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers"))
	return err == nil
}

// makeCgroups makes a node's root in every hierarchy; kubelet wants to find it.
func makeCgroups(lab, node string) error {
	if unified() {
		return makeUnified(filepath.Join(cgroups, state.Cgroup(lab, node)))
	}
	for _, c := range controllers {
		root := filepath.Join(cgroups, c)
		if _, err := os.Stat(root); err != nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, state.Cgroup(lab, node)), 0o755); err != nil {
			return fmt.Errorf("make the cgroup of %s: %w", node, err)
		}
	}
	// A new cpuset is empty, and nothing can run in it.
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(cgroups, "cpuset", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make the cgroup of %s: %w", node, err)
		}
		file := filepath.Join(cgroups, "cpuset", state.Cgroup(lab, node), name)
		// plan.ValidName has bounded the name.
		if err := os.WriteFile(file, value, 0o644); err != nil {
			return fmt.Errorf("make the cgroup of %s: %w", node, err)
		}
	}
	return weigh(filepath.Join(cgroups, "cpu", state.Cgroup(lab, node), "cpu.shares"), podShares)
}

// weigh puts a node's pods before other processes. A machine without the file has no CPU controller, and then nothing
// can be done.
func weigh(file, value string) error {
	weight, err := os.OpenFile(file, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("put the pods before other processes: %w", err)
	}
	_, err = weight.WriteString(value)
	if err := errors.Join(err, weight.Close()); err != nil {
		return fmt.Errorf("put the pods before other processes: %w", err)
	}
	return nil
}

// makeUnified makes a cgroup and hands all controllers down to it.
func makeUnified(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	available, err := os.ReadFile(filepath.Join(cgroups, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("list cgroup controllers: %w", err)
	}
	for _, c := range strings.Fields(string(available)) {
		for _, dir := range []string{cgroups, path} {
			// One that cannot be handed down is missed by kubelet, which then names it, if it needs it at all.
			file := filepath.Join(dir, "cgroup.subtree_control")
			_ = os.WriteFile(file, []byte("+"+c), 0o644)
		}
	}
	return weigh(filepath.Join(path, "cpu.weight"), podWeight)
}

// Cgroups returns the node's cgroups in all hierarchies, with every cgroup below them; the deepest first.
func Cgroups(lab, node string) ([]string, error) {
	roots, err := filepath.Glob(filepath.Join(cgroups, "*", state.Cgroup(lab, node)))
	if err != nil {
		return nil, fmt.Errorf("list cgroups: %w", err)
	}
	roots = append(roots, filepath.Join(cgroups, state.Cgroup(lab, node)))
	var found []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				found = append([]string{path}, found...)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list cgroups: %w", err)
		}
	}
	return found, nil
}

// CgroupProcesses returns the ids of all processes in the node's cgroups: those of its pods.
func CgroupProcesses(lab, node string) ([]int, error) {
	dirs, err := Cgroups(lab, node)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		// A cgroup may go at any time, and a v2 one with threads cannot be read; its parent can.
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", dir, err)
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// RemoveCgroups removes the node's cgroups. No process may be left in them.
func RemoveCgroups(lab, node string) error {
	dirs, err := Cgroups(lab, node)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
	return nil
}
