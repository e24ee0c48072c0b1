package fault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"kdoctor.io/kdoctor/lab/internal/process"
)

const cgroups = "/sys/fs/cgroup"

// errNoCPU is returned for a process without a cgroup that limits CPU.
var errNoCPU = errors.New("no cgroup limits its CPU")

// cgroupOf returns the CPU cgroup of a process.
func cgroupOf(pid int) (Cgroup, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return Cgroup{}, fmt.Errorf("find the cgroup of process %d: %w", pid, err)
	}
	c, err := parseCgroup(string(content))
	if err != nil {
		return Cgroup{}, fmt.Errorf("find the cgroup of process %d: %w", pid, err)
	}
	return c, nil
}

// parseCgroup reads a process' list of cgroups. The hierarchy of version 1 counts if there is one for CPU.
func parseCgroup(list string) (Cgroup, error) {
	unified := ""
	for line := range strings.Lines(list) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		if controllers == "" {
			unified = path
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if c == "cpu" {
				return Cgroup{Path: filepath.Join(cgroups, "cpu", path)}, nil
			}
		}
	}
	if unified == "" {
		return Cgroup{}, errNoCPU
	}
	return Cgroup{Path: filepath.Join(cgroups, unified), Unified: true}, nil
}

// membersOf returns the processes in a cgroup.
func membersOf(c Cgroup) ([]process.Identity, error) {
	content, err := os.ReadFile(filepath.Join(c.Path, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("list the processes of a container: %w", err)
	}
	var members []process.Identity
	for field := range strings.FieldsSeq(string(content)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("list the processes of a container: %w", err)
		}
		// One that has ended meanwhile is none any more.
		if id, err := process.Identify(pid); err == nil {
			members = append(members, id)
		}
	}
	return members, nil
}

// peerLink returns the name of the other end of a pod's interface, which is in the node's namespace.
func peerLink(pod Namespace, name string, node Namespace) (string, error) {
	index := 0
	if err := pod.inside(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		index = link.Attrs().ParentIndex
		return nil
	}); err != nil {
		return "", fmt.Errorf("find %s of %s: %w", name, pod, err)
	}
	var peer string
	if err := node.inside(func() error {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			return err
		}
		peer = link.Attrs().Name
		return nil
	}); err != nil {
		return "", fmt.Errorf("find the node's end of %s of %s: %w", name, pod, err)
	}
	return peer, nil
}
