package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Outside runs a program in the network namespace that Isolate left, on any CPU, and returns what it printed. It is for
// what has to reach the machine's other programs. When the context ends it is asked to end, and it does not hear the
// terminal's own signals: who started it decides.
func Outside(ctx context.Context, c Command) (stdout string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := startOutside(cmd); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("run %s %s: %w: %s", c.Path, strings.Join(c.Args, " "), err,
			tail(errs.String()+out.String()))
	}
	return out.String(), nil
}

// startOutside starts the process from a thread that is in the parent's namespace for that moment. A thread that cannot
// come back ends with its goroutine.
func startOutside(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := enter(fmt.Sprintf("/proc/%d/ns/net", os.Getppid()), func() error { return cmd.Start() })
		if !errors.Is(err, errAway) {
			runtime.UnlockOSThread()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s outside: %w", cmd.Path, err)
	}
	return nil
}

// errAway is for a thread that is not where it was.
var errAway = errors.New("the thread could not come back to its network namespace")

// enter calls do in the namespace and comes back. The thread is the caller's alone.
func enter(namespace string, do func() error) error {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("find the own namespace: %w", err)
	}
	defer own.Close()
	other, err := os.Open(namespace) // #nosec G304 -- of a process that we know
	if err != nil {
		return fmt.Errorf("find the namespace outside: %w", err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil { // #nosec G115 -- a descriptor
		return fmt.Errorf("enter the namespace outside (this needs root): %w", err)
	}
	err = do()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil { // #nosec G115 -- a descriptor
		return errors.Join(err, errAway, back)
	}
	return err
}
