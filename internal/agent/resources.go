package agent

import (
	"syscall"

	"kdoctor.io/kdoctor/internal/load"
)

// inFlight is how many attempts the descriptors of this process allow at once: half of them, the rest is for those that
// probe us. It is 0, the load's own default, where the limit cannot be read or is larger.
func inFlight() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur/2 >= load.DefaultInFlight {
		return 0
	}
	return max(int(files.Cur/2), 1) // #nosec G115 -- it is below the default
}
