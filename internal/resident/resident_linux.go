package resident

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Release collects garbage and gives back to the kernel what the process does not use: free memory of the heap, and the
// pages of the program file. A page that is used later is mapped again, mostly from the kernel's cache of the file. On
// an error nothing is lost but the memory.
func Release() error {
	debug.FreeOSMemory()
	return advise(unix.MADV_DONTNEED)
}

// Map has all pages of the program file mapped, so that nothing waits for one at its first use. It needs Linux 5.14,
// and returns an error before that.
func Map() error { return advise(unix.MADV_POPULATE_READ) }

// advise gives the kernel an advice about all areas of the program file; see madvise(2).
func advise(advice uintptr) error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program file: %w", err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read the memory areas: %w", err)
	}
	defer smaps.Close()
	areas, err := untouched(smaps, program)
	if err != nil {
		return fmt.Errorf("read the memory areas: %w", err)
	}
	for _, a := range areas {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, a.from, a.to-a.from, advice); errno != 0 {
			return fmt.Errorf("advise the kernel about pages of the program: %w", errno)
		}
	}
	return nil
}
