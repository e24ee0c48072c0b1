package fault

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Burn moves this process into a cgroup and uses all CPU that the cgroup gets, on one thread, until ctx ends. It makes
// the file ready when it begins.
func Burn(ctx context.Context, cgroup, ready string) error {
	members, err := os.OpenFile(filepath.Join(cgroup, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("join the cgroup: %w", err)
	}
	defer members.Close()
	if _, err := members.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		return fmt.Errorf("join the cgroup: %w", err)
	}
	if err := MarkReady(ready); err != nil {
		return err
	}
	for ctx.Err() == nil {
		continue // it is to use CPU
	}
	return nil
}
