package rig

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNginxListensOnEveryPortAndAnswersWithOneOfOurAgents(t *testing.T) {
	config := NginxConfig("/d", 20000, 3)
	for _, want := range []string{"listen 127.0.0.1:20000 backlog=8192;", "listen 127.0.0.1:20001;",
		"listen 127.0.0.1:20002;", "access_log off;", "return 200 '" + Answer + "'"} {
		if !strings.Contains(config, want) {
			t.Errorf("%q is missing in\n%s", want, config)
		}
	}
	if strings.Contains(config, "20003") {
		t.Error("nginx listens on a port too many")
	}
	if !json.Valid([]byte(Answer)) {
		t.Error("the answer is no JSON")
	}
}

func TestCPUTimeOfAProcessIsKnown(t *testing.T) {
	f, err := Run(t.Context(), Command{Path: shell(t), Args: []string{"-c", "read word; i=0; while [ $i -lt 50000 ]; " +
		"do i=$((i+1)); done; echo $word"}, Stdin: "done\n"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Stdout != "done\n" || f.CPU <= 0 || f.CPU > f.Wall*1.5 {
		t.Errorf("got %+v", f)
	}
}

func TestProcessThatFailsSaysWhy(t *testing.T) {
	_, err := Run(t.Context(), Command{Path: shell(t), Args: []string{"-c", "echo no way >&2; exit 3"}})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "no way") {
		t.Errorf("got %v", err)
	}
}

func TestServerEndsWithItsInput(t *testing.T) {
	s, err := Serve(t.Context(),
		Command{Path: shell(t), Args: []string{"-c", "while read x; do :; done; echo bye"}, CPU: 0})
	if err != nil {
		t.Fatal(err)
	}
	if said, _, err := s.Stop(true); said != "bye\n" || err != nil {
		t.Errorf("got %q, %v", said, err)
	}
}

func TestGateGivesUpOnABusyMachineAndSaysSo(t *testing.T) {
	runs := 0
	_, err := Gate{Limit: 64}.Try(t.Context(), nil, func() (Finished, error) { runs++; return Finished{}, nil })
	if err != nil || runs != 1 {
		t.Errorf("a run within the limit was made %d times, %v", runs, err)
	}
	runs = 0
	// No machine can be below zero: every run is thrown away. Busy time is read after a run that used nothing, so it
	// may be exactly 0.
	_, err = Gate{Limit: -1, Idle: 1}.Try(t.Context(), nil, func() (Finished, error) { runs++; return Finished{}, nil })
	if !errors.Is(err, ErrBusy) || runs != tries {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func shell(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatRunsOutsideIsInTheParentsNamespaceAndWeAreNot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this needs root")
	}
	link := func(of string) string {
		name, err := os.Readlink("/proc/" + of + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	ours := link("self")
	out, err := Outside(t.Context(),
		Command{Path: shell(t), Args: []string{"-c", "cat; readlink /proc/self/ns/net"}, Stdin: "hello\n"})
	if want := "hello\n" + link(strconv.Itoa(os.Getppid())) + "\n"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
	if now := link("self"); now != ours {
		t.Errorf("we are in %s and were in %s", now, ours)
	}
	if _, err := Outside(t.Context(),
		Command{Path: shell(t), Args: []string{"-c", "echo no way >&2; exit 3"}}); err == nil ||
		!strings.Contains(err.Error(), "no way") {
		t.Errorf("a failure is told as %v", err)
	}
}

func TestAThreadComesBackFromAnotherNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this needs root")
	}
	away := exec.CommandContext(t.Context(), shell(t), "-c", "read x")
	away.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	stdin, err := away.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = away.Wait() }()
	runtime.LockOSThread()
	here := func() string {
		name, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	before, there := here(), ""
	if err := enter(fmt.Sprintf("/proc/%d/ns/net", away.Process.Pid),
		func() error { there = here(); return nil }); err != nil {
		t.Fatal(err)
	}
	if after := here(); there == before || after != before {
		t.Errorf("the thread was in %s, then %s, then %s", before, there, after)
	}
	runtime.UnlockOSThread()
}
