package cluster

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	// watchers is how many inotify instances one user may have on this machine.
	watchers = "/proc/sys/fs/inotify/max_user_instances"
	// enoughWatchers is the least number that a lab begins with: a node takes about ten, and Linux allows 128.
	enoughWatchers = 8192
)

// raiseWatchers has the machine allow as many inotify instances as the nodes of some labs take, and returns what it
// allowed before; 0 if that was enough. Without them a kubelet ends with "too many open files". The limit stays until
// the machine starts again: other labs may rest on it.
func raiseWatchers(file string) (before int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read how many inotify instances a user may have: %w", err)
	}
	before, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read how many inotify instances a user may have: %w", err)
	}
	if before >= enoughWatchers {
		return 0, nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(enoughWatchers)), 0o644); err != nil {
		return 0, fmt.Errorf("allow more than %d inotify instances to a user: %w", before, err)
	}
	return before, nil
}
