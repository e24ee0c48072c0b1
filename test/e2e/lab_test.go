package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/test/cluster"
)

// labStatus is what the lab says of itself.
type labStatus struct {
	Healthy bool `json:"healthy"`
	Daemons []struct {
		Name  string `json:"name"`
		PID   int    `json:"pid"`
		Alive bool   `json:"alive"`
	} `json:"daemons"`
}

func status(t *testing.T, c *cluster.Cluster, name string) labStatus {
	t.Helper()
	out, err := c.Program(t.Context(), "lab", "status", "--name", name, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var found labStatus
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLabsLiveSideBySideSurviveCrashesAndLeaveNothing is about the lab itself: every other test rests on it.
func TestLabsLiveSideBySideSurviveCrashesAndLeaveNothing(t *testing.T) {
	const first, second = "e2e-one", "e2e-two"
	labs := map[string]*cluster.Cluster{}
	for _, name := range []string{first, second} {
		labs[name] = cluster.New(cluster.Config{Name: name, Build: os.Getenv("KDOCTOR_BUILD"), Progress: progress{t}})
		t.Cleanup(func() { down(t, labs[name], name) })
		if err := labs[name].Up(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := labs[first].Up(t.Context(), 1); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("a second up of a healthy lab took %v and ended with %v; want nothing to be done", time.Since(began),
			err)
	}
	if err := labs[first].Up(t.Context(), 2); err == nil {
		t.Error("up with other settings was not refused")
	}

	// A crash: every other daemon is gone at once.
	daemons := status(t, labs[first], first).Daemons
	for i, daemon := range daemons {
		if i%2 == 0 {
			if err := syscall.Kill(daemon.PID, syscall.SIGKILL); err != nil {
				t.Errorf("kill %s: %v", daemon.Name, err)
			}
		}
	}
	eventually(t, 10*time.Second, "the crash is noticed", func() error {
		if status(t, labs[first], first).Healthy {
			return os.ErrInvalid
		}
		return nil
	})
	if err := labs[first].Up(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{first, second} {
		if !status(t, labs[name], name).Healthy {
			t.Errorf("the lab %s is not healthy", name)
		}
		kubectl(t, labs[name], "get", "--raw", "/readyz")
	}

	down(t, labs[first], first)
	if !status(t, labs[second], second).Healthy {
		t.Errorf("taking %s down broke %s", first, second)
	}
	down(t, labs[second], second)
	down(t, labs[second], second)
}

// down takes a lab down and checks that nothing of it is left.
func down(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	if err := c.Down(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("take %s down: %v", name, err)
	}
	for _, pattern := range []string{"/run/netns/" + name + "-*", "/var/lib/kdoctor-lab/" + name, "/sys/fs/cgroup/*/*" +
		name + "-*", "/sys/fs/cgroup/*" + name + "-*"} {
		left, err := filepath.Glob(pattern)
		if err != nil || len(left) != 0 {
			t.Errorf("left of %s: %v (%v)", name, left, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), "/var/lib/kdoctor-lab/"+name+"/") {
		t.Errorf("a mount of %s is left (%v)", name, err)
	}
	eventually(t, 5*time.Second, "the processes of "+name+" are gone", func() error {
		if left := processes(t, "/var/lib/kdoctor-lab/"+name+"/"); len(left) != 0 {
			return &os.PathError{Op: "still running", Path: strings.Join(left, "; "), Err: os.ErrExist}
		}
		return nil
	})
}

// processes are the command lines that mention the text. A process that has ended and waits for its parent has none.
func processes(t *testing.T, mention string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), mention) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	slices.Sort(found)
	return found
}
