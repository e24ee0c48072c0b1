// Package fabric makes the lab's networks: a namespace per host, all on one bridge that leads nowhere else, and between
// the nodes either an overlay or plain routes for the pods' traffic.
package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is where iproute2 looks for namespaces by name.
const folder = "/run/netns"

// Path is where the namespace of that name is.
func Path(namespace string) string { return filepath.Join(folder, namespace) }

// Exists says whether there is a namespace of that name.
func Exists(namespace string) bool {
	_, err := os.Stat(Path(namespace))
	return err == nil
}

// Inside runs f on a thread of its own within the network namespace. Processes and sockets that f makes belong to the
// namespace.
func Inside(namespace string, f func() error) error {
	return onOwnThread(func() error {
		if err := Enter(namespace); err != nil {
			return err
		}
		return f()
	})
}

// InsidePath does the same within the network namespace at a path, such as that of a process below /proc.
func InsidePath(path string, f func() error) error {
	return onOwnThread(func() error {
		if err := enterPath(path); err != nil {
			return err
		}
		return f()
	})
}

// Enter moves the calling thread, which has to be locked, into a namespace.
func Enter(namespace string) error { return enterPath(Path(namespace)) }

func enterPath(path string) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// onOwnThread runs f on a thread that ends with it, so that no other goroutine ever meets what f has changed about the
// thread.
func onOwnThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- f()
	}()
	return <-result
}

// create makes a namespace that stays when no process is in it.
func create(namespace string) error {
	if err := shareFolder(); err != nil {
		return err
	}
	target, err := os.OpenFile(Path(namespace), os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("make network namespace %s: %w", namespace, err)
	}
	if err := target.Close(); err != nil {
		return fmt.Errorf("make network namespace %s: %w", namespace, err)
	}
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace %s: %w", namespace, err)
		}
		own := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(own, Path(namespace), "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keep network namespace %s: %w", namespace, err)
		}
		return nil
	})
}

// shareFolder makes the folder a shared mount, as iproute2 does, so that a namespace removed here is removed for
// everyone.
func shareFolder() error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of network namespaces: %w", err)
	}
	err := unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) {
		if err = unix.Mount(folder, folder, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share the folder of network namespaces: %w", err)
	}
	return nil
}

// Remove removes a namespace; one that is not there is fine.
func Remove(namespace string) error {
	path := Path(namespace)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) &&
		!errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove network namespace %s: %w", namespace, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", namespace, err)
	}
	return nil
}

// Processes returns the ids of all processes in any of the namespaces.
func Processes(namespaces []string) ([]int, error) {
	wanted := map[uint64]bool{}
	for _, ns := range namespaces {
		var st unix.Stat_t
		if err := unix.Stat(Path(ns), &st); err == nil {
			wanted[st.Ino] = true
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ends meanwhile is not there any more, which is all that is asked.
		link, err := os.Readlink("/proc/" + e.Name() + "/ns/net")
		if err != nil {
			continue
		}
		var inode uint64
		if _, err := fmt.Sscanf(strings.TrimPrefix(link, "net:"), "[%d]", &inode); err == nil && wanted[inode] {
			found = append(found, pid)
		}
	}
	return found, nil
}
