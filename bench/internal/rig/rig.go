// Package rig is the measuring stand: a network namespace without a way out, processes that are pinned to CPUs and
// whose CPU time is known, and a gate that lets a run count only when nobody else used the machine meanwhile.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The CPUs of both sides.
const (
	ClientCPU = 0
	ServerCPU = 1
)

// stopPatience is how long a process that was told to end may take before it is killed.
const stopPatience = 5 * time.Second

// endPatience is how long the second self may take to end when it is told to: it may have to take a cluster down.
const endPatience = 90 * time.Second

// readyWithin is how long a server may take until it serves.
const readyWithin = 20 * time.Second

// Isolate runs this program again in a network namespace of its own, with one argument more, and returns its exit
// status. Nothing there can reach anybody: it has a loopback interface only, and no connection tracking, since no rule
// asks for it.
func Isolate(ctx context.Context, mark string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self,
		append([]string{mark}, os.Args[1:]...)...) // #nosec G702 -- this program itself, with its own arguments
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endPatience
	runtime.LockOSThread() // The kernel sends the signal of Pdeathsig when the thread ends.
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("make a network namespace (this needs root): %w", err)
	}
	return 0, nil
}

// LoopbackUp brings the loopback interface of a new namespace up.
func LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name the loopback interface: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring the loopback interface up: %w", err)
	}
	return nil
}

// Command is one program with its arguments.
type Command struct {
	Path  string
	Args  []string
	Stdin string
	CPU   int
}

// Finished is a process that has ended well.
type Finished struct {
	Stdout string
	// CPU is user and system time in seconds, that of children it waited for included; Wall is from start to end.
	CPU, Wall float64
	// Beside is the CPU time of processes that began and ended with this one: a server, a second program that makes the
	// report.
	Beside float64
}

// Run runs the command to its end.
func Run(ctx context.Context, c Command) (Finished, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &stdout, &stderr
	cmd.WaitDelay = stopPatience
	began := time.Now()
	if err := startOn(c.CPU, cmd); err != nil {
		return Finished{}, err
	}
	err := cmd.Wait()
	f := Finished{Stdout: stdout.String(), Wall: time.Since(began).Seconds()}
	f.CPU = used(cmd)
	if err != nil {
		return f, fmt.Errorf("run %s %s: %w: %s", c.Path, strings.Join(c.Args, " "), err,
			tail(stderr.String()+stdout.String()))
	}
	return f, nil
}

// used is the CPU time of a process that has ended.
func used(cmd *exec.Cmd) float64 {
	if cmd.ProcessState == nil {
		return 0
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

func tail(text string) string {
	const most = 400
	return strings.TrimSpace(text[max(0, len(text)-most):])
}

// startOn starts the process on one CPU: it inherits the place of the thread that starts it.
func startOn(cpu int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the CPUs of a thread: %w", err)
	}
	wanted.Set(cpu)
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("go to CPU %d: %w", cpu, err)
	}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, &before); back != nil {
		err = errors.Join(err, fmt.Errorf("go back to all CPUs: %w", back))
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

// Server is a process that serves until it is stopped.
type Server struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// Serve starts a server. It ends when its standard input is closed or, where it does not look there, by a signal; see
// Stop.
func Serve(ctx context.Context, c Command) (*Server, error) {
	s := &Server{cmd: exec.CommandContext(ctx, c.Path, c.Args...)}
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	s.cmd.WaitDelay = stopPatience
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := startOn(c.CPU, s.cmd); err != nil {
		return nil, err
	}
	return s, nil
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the server and returns what it printed and how many CPU seconds it used in its life. Where ask is true it
// is asked by the end of its input, otherwise by SIGTERM.
func (s *Server) Stop(ask bool) (stdout string, cpu float64, err error) {
	if ask {
		_ = s.stdin.Close()
	} else {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(stopPatience, func() { _ = s.cmd.Process.Kill() })
	err = s.cmd.Wait()
	if !kill.Stop() {
		return "", 0, fmt.Errorf("%s did not end within %v: %s", s.cmd.Path, stopPatience, tail(s.stderr.String()))
	}
	if err != nil && ask {
		return "", 0, fmt.Errorf("%s: %w: %s", s.cmd.Path, err, tail(s.stderr.String()))
	}
	return s.stdout.String(), used(s.cmd), nil
}

// Ready waits until the address accepts connections.
func (s *Server) Ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve on %s: %w: %s", s.cmd.Path, address, err, tail(s.stderr.String()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
