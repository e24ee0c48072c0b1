package observer

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// group is the folder of a control group below the file system's root; the zero value is no group.
type group struct {
	dir     string
	unified bool
}

// groups are the control groups of this process, by what they account. A group counts only when it belongs to this
// process or its container: the root of a hierarchy accounts the whole machine.
type groups struct {
	cpu, usage, memory group
}

// find looks up the control groups of the process of /proc/self. pid is the process's number in its own namespace.
//
// /proc/self/cgroup has the folder of the process in each hierarchy. /proc/self/mountinfo has where the hierarchies are
// mounted, and from which of their folders on (cgroups(7), proc_pid_mountinfo(5)). In a namespace of control groups the
// folder is "/" in a container as well. Without such a namespace, a container may see its own folder alone, mounted at
// the hierarchy's usual place. Therefore find tries candidates until one lists the process among its members.
func find(root fs.FS, pid int) groups {
	where := parseMembership(text(root, "proc/self/cgroup"))
	mounts := parseMounts(text(root, "proc/self/mountinfo"))
	own := func(controller string) group {
		if dir := locate(root, pid, where, mounts, controller); dir != "" {
			return group{dir: dir}
		}
		if dir := locate(root, pid, where, mounts, unified); dir != "" {
			return group{dir: dir, unified: true}
		}
		return group{}
	}
	return groups{cpu: own("cpu"), usage: own("cpuacct"), memory: own("memory")}
}

// unified stands for the hierarchy of version 2, which has all controllers.
const unified = ""

// parseMembership reads /proc/<pid>/cgroup: lines of "number:controllers:path", where controllers are separated by
// commas and empty for version 2. Lines that are not of this form are left out.
func parseMembership(text string) map[string]string {
	where := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "/") {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			if _, known := where[controller]; !known {
				where[controller] = fields[2]
			}
		}
	}
	return where
}

// mount is a mounted hierarchy.
type mount struct {
	// controllers are the hierarchy's controllers in version 1, or unified alone.
	controllers []string
	// root is the folder of the hierarchy that is mounted, at point.
	root, point string
}

// parseMounts reads the control groups' mounts out of /proc/<pid>/mountinfo. Lines of another form are left out.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(line, " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(place) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{root: unescape(place[3]), point: unescape(place[4])}
		switch kind[0] {
		case "cgroup":
			// The hierarchy's controllers are among the options of the file system.
			m.controllers = strings.Split(kind[2], ",")
		case "cgroup2":
			m.controllers = []string{unified}
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the octal escapes by which mountinfo writes spaces, tabs, ends of lines and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// locate returns the folder of the process's own group in the controller's hierarchy. The result is empty when there is
// no such group, or when the group is the hierarchy's root.
func locate(root fs.FS, pid int, where map[string]string, mounts []mount, controller string) string {
	at, ok := where[controller]
	if !ok {
		return ""
	}
	for _, m := range mounts {
		if !slices.Contains(m.controllers, controller) {
			continue
		}
		for _, dir := range candidates(at, m) {
			if !member(text(root, path.Join(dir, "cgroup.procs")), pid) {
				continue
			}
			if topmost(root, dir, controller) {
				break
			}
			return dir
		}
	}
	return ""
}

// candidates returns the folders that may be the group's, the likeliest first, without the leading slash.
func candidates(at string, m mount) []string {
	var dirs []string
	add := func(below string) { dirs = append(dirs, strings.TrimPrefix(path.Join(m.point, below), "/")) }
	top := strings.TrimSuffix(m.root, "/")
	if below, ok := strings.CutPrefix(at, top); ok && (below == "" || below[0] == '/') {
		add(below)
	}
	add("")
	return dirs
}

// member reports whether the process is in a list that has one number on each line.
func member(procs string, pid int) bool {
	number := strconv.Itoa(pid)
	for line := range strings.Lines(procs) {
		if strings.TrimSpace(line) == number {
			return true
		}
	}
	return false
}

// topmost reports whether the folder is the root of its hierarchy, by a file that only roots have (version 1) or that
// only roots lack (version 2).
func topmost(root fs.FS, dir, controller string) bool {
	if controller == unified {
		_, err := fs.Stat(root, path.Join(dir, "cgroup.type"))
		return err != nil
	}
	_, err := fs.Stat(root, path.Join(dir, "cgroup.sane_behavior"))
	return err == nil
}

// text returns the file's content, empty when it cannot be read.
func text(root fs.FS, name string) string {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(content)
}
