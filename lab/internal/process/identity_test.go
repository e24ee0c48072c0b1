package process

import (
	"os/exec"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = "1 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 5 0 4711 1000 200"
	for name, c := range map[string]struct {
		line  string
		start uint64
		state byte
		ok    bool
	}{
		"a plain program":                       {"10 (etcd) S " + rest, 4711, 'S', true},
		"a program with spaces and parentheses": {"10 (a) b (c) R " + rest, 4711, 'R', true},
		"a line that ends early":                {"10 (etcd) S 1 1", 0, 0, false},
		"a line without a name":                 {"10 etcd S " + rest, 0, 0, false},
		"a start that is not a number of ticks": {"10 (etcd) S 1 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 5 0 soon", 0, 0,
			false},
	} {
		t.Run(name, func(t *testing.T) {
			start, state, err := parseStat([]byte(c.line))
			if start != c.start || state != c.state || (err == nil) != c.ok {
				t.Errorf("parseStat = %d, %q, %v", start, state, err)
			}
		})
	}
}

func TestARecycledIDIsAnotherProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Identity){
		"another start": func(i *Identity) { i.Start++ },
		"another boot":  func(i *Identity) { i.Boot = "other" },
	} {
		other := id
		change(&other)
		if other.Alive() {
			t.Errorf("%s: taken for the same process", name)
		}
	}
	if !id.Alive() {
		t.Error("a running process is not alive")
	}
	if err := Stop([]Identity{id}, 0); err != nil {
		t.Error(err)
	}
	if id.Alive() {
		t.Error("an ended process is alive")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}
