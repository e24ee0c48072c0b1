package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/state"
)

// Folders that containerd, kubelet and CNI insist on, whatever else they are told.
const (
	shimSockets   = "/run/containerd/s"
	cniResults    = "/var/lib/cni/results"
	containerLogs = "/var/log/containers"
	devicePlugins = "/var/lib/kubelet/device-plugins"
)

// removeTraces removes the lab's files from those folders. It has to come before the state folder goes, which says
// which they are.
func (l *Lab) removeTraces() error {
	var paths []string
	// Each task's folder says where the socket of its shim is.
	tasks, taskErr := filepath.Glob(filepath.Join(string(l.State), "*", "run", "io.containerd.runtime.v2.task",
		"k8s.io", "*"))
	for _, task := range tasks {
		if address, err := os.ReadFile(filepath.Join(task, "address")); err == nil {
			// Whatever the file says, nothing is removed elsewhere.
			if socket := filepath.Clean(strings.TrimPrefix(strings.TrimSpace(string(address)),
				"unix://")); filepath.Dir(socket) == shimSockets {
				paths = append(paths, socket)
			}
		}
		cached, err := filepath.Glob(filepath.Join(cniResults, "*-"+filepath.Base(task)+"-*"))
		if err != nil {
			return fmt.Errorf("list CNI results: %w", err)
		}
		paths = append(paths, cached...)
	}
	links, linkErr := os.ReadDir(containerLogs)
	if errors.Is(linkErr, fs.ErrNotExist) {
		linkErr = nil
	}
	for _, link := range links {
		path := filepath.Join(containerLogs, link.Name())
		if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, string(l.State)+"/") {
			paths = append(paths, path)
		}
	}
	errs := []error{taskErr, linkErr}
	for _, path := range paths {
		// All paths are right below the folders that are named above.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what the lab has left outside of its folder: %w", err)
	}
	return nil
}

// removeShared removes what all labs share, after the last one, as far as nothing else on the machine uses it.
func removeShared(ctx context.Context) error {
	names, err := state.Names()
	if err != nil || len(names) > 0 {
		return err
	}
	socket := filepath.Join(devicePlugins, "kubelet.sock")
	// An interrupted attempt would look as if nobody listened.
	if conn, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "unix", socket); err == nil {
		return conn.Close()
	}
	for _, path := range []string{
		socket, filepath.Join(devicePlugins, "kubelet_internal_checkpoint"),
		filepath.Join(devicePlugins, "DEPRECATION"),
		devicePlugins, filepath.Dir(devicePlugins), cniResults, filepath.Dir(cniResults), shimSockets,
		filepath.Dir(shimSockets), containerLogs,
	} {
		// A folder in which there is something else is somebody else's, and stays.
		_ = os.Remove(path)
	}
	return nil
}
