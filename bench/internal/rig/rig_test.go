package rig

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestNginxListensOnEveryPortAndAnswersWithOneOfOurAgents(t *testing.T) {
	config := NginxConfig("/d", 20000, 3)
	for _, want := range []string{"listen 127.0.0.1:20000 backlog=8192;", "listen 127.0.0.1:20001;", "listen 127.0.0.1:20002;", "access_log off;", "return 200 '" + Answer + "'"} {
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
	f, err := Run(t.Context(), Command{Path: shell(t), Args: []string{"-c", "read word; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo $word"}, Stdin: "done\n"})
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
	s, err := Serve(t.Context(), Command{Path: shell(t), Args: []string{"-c", "while read x; do :; done; echo bye"}, CPU: 0})
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
	// No machine can be below zero: every run is thrown away. Busy time is read after a run that used nothing, so it may be exactly 0.
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
