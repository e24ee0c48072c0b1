package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/lab/internal/fabric"
	"kdoctor.io/kdoctor/lab/internal/node"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// Down takes the lab away with everything that belongs to it. It says whether there was anything.
func (l *Lab) Down(ctx context.Context) (bool, error) {
	if os.Geteuid() != 0 {
		return false, errors.New("taking a lab down ends processes of root: run as root")
	}
	release, err := state.Lock(ctx, l.Settings.Name)
	if err != nil {
		return false, err
	}
	if !l.State.Exists() {
		return false, release()
	}
	return true, errors.Join(l.clean(ctx), release())
}

// clean takes away whatever there is of the lab, however far it had come, and whatever its settings were.
func (l *Lab) clean(ctx context.Context) error {
	was := *l
	// A record that cannot be read is from a crash while the folder was new: then nothing else was made, or as many
	// nodes as may be.
	if record, err := l.State.Read(); err == nil {
		was.Settings = record.Settings
	} else {
		was.Settings.Nodes = plan.MaxNodes
	}
	s := was.Settings
	if err := was.stop(); err != nil {
		return err
	}
	if err := unmountBelow(string(l.State)); err != nil {
		return err
	}
	var errs []error
	for _, ns := range s.Namespaces() {
		errs = append(errs, fabric.Remove(ns))
	}
	for _, n := range s.ClusterNodes() {
		errs = append(errs, node.RemoveCgroups(s.Name, n.Name))
	}
	errs = append(errs, l.removeTraces())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.State.Remove(); err != nil {
		return err
	}
	return removeShared(ctx)
}

// stop ends the daemons, then everything else that lives in the lab's namespaces and cgroups: pods, their shims, and
// what daemons have started.
func (l *Lab) stop() error {
	daemons, err := l.table.Daemons()
	if err != nil {
		return err
	}
	// Add-ons end their own children when they are asked to end; the rest has nothing to tidy up that is not removed
	// anyway.
	const grace = 2 * time.Second
	var polite, others []process.Identity
	for _, d := range daemons {
		if slices.ContainsFunc(l.addons(), func(a process.Spec) bool { return a.Name == d.Name }) {
			polite = append(polite, d.Identity)
			continue
		}
		others = append(others, d.Identity)
	}
	if err := process.Stop(polite, grace); err != nil {
		return err
	}
	if err := process.Stop(others, 0); err != nil {
		return err
	}
	// A process may start another one between the look and its end.
	const looks = 20
	for range looks {
		left, err := l.inhabitants()
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if err := process.Stop(left, 0); err != nil {
			return err
		}
	}
	return fmt.Errorf("new processes keep appearing in the lab %q", l.Settings.Name)
}

func (l *Lab) inhabitants() ([]process.Identity, error) {
	pids, err := fabric.Processes(l.Settings.Namespaces())
	if err != nil {
		return nil, err
	}
	for _, n := range l.Settings.ClusterNodes() {
		more, err := node.CgroupProcesses(l.Settings.Name, n.Name)
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	var ids []process.Identity
	for _, pid := range pids {
		// One that has ended since it was listed is none any more; neither is a zombie.
		if id, err := process.Identify(pid); err == nil && id.Alive() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// unmountBelow unmounts everything in a folder, the last mounted first.
func unmountBelow(folder string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	lines := strings.Split(string(info), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		fields := strings.Fields(line)
		const mountPoint = 4
		if len(fields) <= mountPoint || !strings.HasPrefix(fields[mountPoint], folder+"/") {
			continue
		}
		if err := unix.Unmount(fields[mountPoint], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) &&
			!errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", fields[mountPoint], err)
		}
	}
	return nil
}
