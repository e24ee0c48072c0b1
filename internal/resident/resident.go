// Package resident decides which pages of the program file a process has in memory. The kernel maps the pages of a
// program around every one that is used, and counts all of them as the process's resident memory for as long as it
// runs, also those that were only needed to start.
package resident

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// area is a part of the process's memory, from its first byte to the one behind its last.
type area struct{ from, to uintptr }

// untouched returns the areas of a process into which the program file is mapped and which nobody writes: pages of
// these may go, as the kernel reads them from the file again. smaps is as in proc_pid_smaps(5).
func untouched(smaps io.Reader, program string) (found []area, err error) {
	lines := bufio.NewScanner(smaps)
	var last area
	candidate := false
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if a, ok := areaOf(fields); ok {
			last = a
			candidate = len(fields) == 6 && fields[5] == program && !strings.Contains(fields[1], "w")
			continue
		}
		// Pages that were written to, as a debugger does, are the process's own, and cannot be read again.
		if candidate && len(fields) == 3 && fields[0] == "Anonymous:" {
			if fields[1] == "0" {
				found = append(found, last)
			}
			candidate = false
		}
	}
	return found, lines.Err()
}

// areaOf reads the first line of an area: its addresses, rights, offset, device, inode and file.
func areaOf(fields []string) (a area, ok bool) {
	if len(fields) < 5 {
		return area{}, false
	}
	from, to, ok := strings.Cut(fields[0], "-")
	first, firstErr := strconv.ParseUint(from, 16, 64)
	end, endErr := strconv.ParseUint(to, 16, 64)
	return area{uintptr(first), uintptr(end)}, ok && firstErr == nil && endErr == nil && first < end
}
