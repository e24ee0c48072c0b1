package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Within runs this program again in a network namespace that exists, with the arguments, and returns its exit status.
func Within(ctx context.Context, namespace string, args ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...) // #nosec G204 -- this program itself
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endPatience
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := enter(namespace, cmd.Start)
		if !errors.Is(err, errAway) {
			runtime.UnlockOSThread()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		return 0, fmt.Errorf("start this program in %s: %w", namespace, err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Claim makes all addresses of the prefix this machine's own, on the loopback interface of this network namespace.
func Claim(prefix netip.Prefix) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	mask := netip.AddrFrom4([4]byte{})
	if ones, err := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(prefix.Bits()); err == nil {
		mask = ones.Addr()
	}
	for _, step := range []struct {
		request uint
		value   netip.Addr
	}{{unix.SIOCSIFADDR, prefix.Addr().Next()}, {unix.SIOCSIFNETMASK, mask}} {
		request, err := unix.NewIfreq("lo:1")
		if err != nil {
			return fmt.Errorf("name the loopback interface: %w", err)
		}
		if err := request.SetInet4Addr(step.value.AsSlice()); err != nil {
			return fmt.Errorf("write an address: %w", err)
		}
		if err := unix.IoctlIfreq(fd, step.request, request); err != nil {
			return fmt.Errorf("claim the addresses %s: %w", prefix, err)
		}
	}
	return nil
}
