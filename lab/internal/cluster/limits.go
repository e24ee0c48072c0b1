package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// limit is a number that the kernel has for the whole machine, not for each network namespace.
type limit struct {
	// file is its path below /proc/sys.
	file string
	// least is what labs of many nodes take.
	least int
}

// settings is the folder of the kernel's settings.
const settings = "/proc/sys"

// limits returns what all labs of the machine share. A kubelet takes about ten inotify instances and ends with "too
// many open files" when it gets none; Linux allows 128 for each user. Each node knows each other one by several
// addresses: 30 nodes have some 2,700 neighbours of each family. Linux has room for 1,024 and loses packets at random
// beyond.
func limits() []limit {
	all := []limit{{"fs/inotify/max_user_instances", 8192}}
	for _, family := range []string{"ipv4", "ipv6"} {
		for i, least := range []int{8192, 16384, 32768} {
			all = append(all, limit{fmt.Sprintf("net/%s/neigh/default/gc_thresh%d", family, i+1), least})
		}
	}
	return all
}

// raise raises a limit to what labs take, below the folder, and returns what it was before; 0 if that was
// enough. It stays until the machine starts again: other labs may rest on it.
func raise(folder string, l limit) (before int, err error) {
	file := filepath.Join(folder, l.file)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read a limit of the machine: %w", err)
	}
	before, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the limit %s: %w", l.file, err)
	}
	if before >= l.least {
		return 0, nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(l.least)), 0o644); err != nil {
		return 0, fmt.Errorf("raise a limit of the machine: %w", err)
	}
	return before, nil
}

// raiseLimits raises all limits and reports each. A lab of few nodes does without.
func raiseLimits(progress func(format string, args ...any)) {
	for _, l := range limits() {
		switch before, err := raise(settings, l); {
		case err != nil:
			progress("%v; a lab of many nodes may need it", err)
		case before > 0:
			progress("%s raised from %d to %d until the machine starts again", l.file, before, l.least)
		}
	}
}
