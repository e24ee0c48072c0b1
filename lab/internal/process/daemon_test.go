package process

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// daemonOf starts a shell that fails twice, and then stays.
func daemonOf(t *testing.T, again func(string) bool) *Table {
	t.Helper()
	table := &Table{Records: t.TempDir(), Logs: t.TempDir()}
	file := filepath.Join(t.TempDir(), "starts")
	if err := table.Start(Spec{Name: "shell", Again: again, Command: []string{"sh", "-c",
		"echo start >>" + file + "; [ $(wc -l <" + file + ") -gt 2 ] && exec sleep 30; echo in use; exit 1"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.End("shell", 0); err != nil {
			t.Error(err)
		}
	})
	return table
}

func TestADaemonWhoseLogAsksForItIsStartedAgain(t *testing.T) {
	table := daemonOf(t, func(log string) bool { return strings.Contains(log, "in use") })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := table.Failed(); err != nil {
			t.Fatal(err)
		}
		daemons, err := table.Daemons()
		if err != nil || len(daemons) != 1 {
			t.Fatalf("%d daemons are written down (%v)", len(daemons), err)
		}
		if strings.Count(tail(daemons[0].Log), "in use") == 2 && daemons[0].Alive() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it does not run after 10 s; its log: %s", tail(daemons[0].Log))
		}
	}
}

func TestADaemonWhoseLogDoesNotAskForItStaysEnded(t *testing.T) {
	table := daemonOf(t, func(log string) bool { return strings.Contains(log, "something else") })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := table.Failed(); err != nil {
			if !strings.Contains(err.Error(), "in use") {
				t.Errorf("the end of the log is missing: %v", err)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("Failed does not report it after 10 s")
		}
	}
}
