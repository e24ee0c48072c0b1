package agent

import (
	"syscall"

	"kdoctor.io/kdoctor/internal/load"
)

// inFlight returns how many attempts may be under way at once: half of the process's descriptors. The other half is for
// the agents that probe this one. The result is 0, for the load's default, when half is more than the default or the
// limit cannot be read.
func inFlight() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur/2 >= load.DefaultInFlight {
		return 0
	}
	return max(int(files.Cur/2), 1) // #nosec G115 -- it is below the default
}
