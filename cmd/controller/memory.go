package main

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"kdoctor.io/kdoctor/internal/resident"
)

// garbagePercent is how large garbage grows, in percent of what is in use, before it is collected; Go's own number is
// 100. A round reads much and keeps little of it: at 5,000 nodes the peak is a quarter lower.
const garbagePercent = 40

// startedAfter is how long after its start a controller has done what only starting needs.
const startedAfter = 10 * time.Second

// releaseStart gives back what only starting needs: two thirds of the program are mapped when its packages are
// initialised and its parts are put together, and most of that is never used again. It does so at once, and again when
// the start is over.
func releaseStart(log logr.Logger) everyReplica {
	release := func() {
		if err := resident.Release(); err != nil {
			log.V(1).Info("the pages of the start stay in memory", "error", err)
		}
	}
	release()
	return func(ctx context.Context) error {
		timer := time.NewTimer(startedAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
			release()
		case <-ctx.Done():
		}
		return nil
	}
}

// limitMemory tells the Go runtime how much memory there is, and to collect garbage early, unless the environment says
// otherwise. Without a limit the runtime lets garbage grow whatever there is, and the kernel ends a container that
// passes its own limit.
func limitMemory(log logr.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	limit, ok := cgroupMemory(os.DirFS("/"))
	if !ok || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	// A tenth is left for what the runtime does not count, such as the pages of the program itself.
	limit -= limit / 10
	debug.SetMemoryLimit(limit)
	log.Info("memory limit set", "bytes", limit)
}

// cgroupMemory returns the least of the memory limits of the process's cgroup and of those around it, in bytes, and
// whether there is one. root is the root of the file system.
func cgroupMemory(root fs.FS) (least int64, ok bool) {
	least = math.MaxInt64
	for _, dir := range cgroupDirs(root) {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			text, err := fs.ReadFile(root, path.Join(dir, name))
			if err != nil {
				continue
			}
			// "max" is no limit, and the first version of cgroups writes a number near the largest for it.
			limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && limit > 0 && limit < math.MaxInt64/2 {
				least = min(least, limit)
			}
		}
	}
	return least, least < math.MaxInt64
}

// cgroupDirs returns the folders that may have a memory limit of the process: those of its cgroups and of all around
// them, in both versions. Not all of them need exist: in a container the paths may be those outside.
func cgroupDirs(root fs.FS) []string {
	const first, second = "sys/fs/cgroup/memory", "sys/fs/cgroup"
	dirs := []string{first, second}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return dirs
	}
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var base string
		switch {
		case fields[0] == "0" && fields[1] == "":
			base = second
		case fields[1] == "memory":
			base = first
		default:
			continue
		}
		for at := path.Clean("/" + fields[2]); at != "/"; at = path.Dir(at) {
			dirs = append(dirs, base+at)
		}
	}
	return dirs
}
