// Package child keeps one program running for as long as its owner wants it, and no longer.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

// Child is one program. Program must be set; a Child must not be copied once Run was called.
type Child struct {
	// Program is the path of the program, Args are its arguments.
	Program string
	Args    []string
	// Before, if set, is called before every start.
	Before func() error

	process atomic.Pointer[os.Process]
}

// Run keeps the program running until ctx ends, waits for its end, and returns ctx' error.
func (c *Child) Run(ctx context.Context) error {
	// The kernel ends the child with the thread that started it, so the thread has to live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		err := c.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		klog.FromContext(ctx).Error(err, "a program ended; it is started again", "program", c.Program)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (c *Child) once(ctx context.Context) error {
	if c.Before != nil {
		if err := c.Before(); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, c.Program, c.Args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// The signal is SIGTERM and not SIGKILL, so that a master takes its workers along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Program, err)
	}
	c.process.Store(cmd.Process)
	defer c.process.Store(nil)
	return cmd.Wait()
}

// Running reports whether the program runs right now.
func (c *Child) Running() bool { return c.process.Load() != nil }

// Signal sends a signal; a program that does not run gets none, and that is no error.
func (c *Child) Signal(signal os.Signal) error {
	process := c.process.Load()
	if process == nil {
		return nil
	}
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", c.Program, err)
	}
	return nil
}
