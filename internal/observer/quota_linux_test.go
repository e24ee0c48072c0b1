package observer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// burnIn names the control groups, separated by colons, in which the test binary is to burn CPU instead of testing.
const burnIn = "KDOCTOR_OBSERVER_BURN_IN"

func TestMain(m *testing.M) {
	if dirs := os.Getenv(burnIn); dirs != "" {
		if err := burn(strings.Split(dirs, ":")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// burned is what a process in a group of its own tells of itself.
type burned struct {
	Start     Reading
	Resources report.Resources
	Observer  report.Observer
	// Process is the process's own CPU time of the same span.
	Process time.Duration
	Wall    time.Duration
}

// burn joins the groups, uses all CPU that it gets for two seconds or until it was throttled for ten periods, whatever
// is longer, but for half a minute at most, and prints what it saw.
func burn(groups []string) error {
	for _, dir := range groups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())),
			0o600); err != nil {
			return fmt.Errorf("join %s: %w", dir, err)
		}
	}
	reader := Open()
	result := burned{Start: reader.Read()}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan struct{})
	before, _ := cpuOfProcess()
	began := time.Now()
	go func() {
		defer close(done)
		Watch(ctx, reader.Read,
			func(r report.Resources, o report.Observer) { result.Resources, result.Observer = r, o })
	}()
	for ctx.Err() == nil {
		for n := range 1 << 20 {
			_ = n * n
		}
		runtime.Gosched()
		if now := reader.Read(); time.Since(began) > 2*time.Second &&
			now.Throttling.Throttled-result.Start.Throttling.Throttled >= 10 {
			cancel()
		}
	}
	<-done
	after, _ := cpuOfProcess()
	result.Process, result.Wall = after-before, time.Since(began)
	return json.NewEncoder(os.Stdout).Encode(result)
}

func TestQuotaAndThrottlingOfARealGroupAreSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may make control groups")
	}
	dirs := limitedGroups(t, 0.1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), burnIn+"="+strings.Join(dirs, ":"))
	child.Stderr = os.Stderr
	// A child that outlives the test would keep its group.
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The signal is sent when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := child.Output()
	if err != nil {
		t.Fatalf("the child: %v", err)
	}
	var got burned
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("the child printed %q: %v", out, err)
	}
	t.Logf("%+v", got)
	o, used := got.Observer, got.Resources
	if o.Quota != 0.1 {
		t.Errorf("the quota is %v cores, want 0.1", o.Quota)
	}
	if o.ThrottledPeriods < 10 || o.ThrottledPeriods > o.Periods || o.Throttled <= 0 {
		t.Errorf("throttled in %d of %d periods for %v", o.ThrottledPeriods, o.Periods, o.Throttled)
	}
	// A group that does nothing but burn is stopped in nearly all periods.
	if float64(o.ThrottledPeriods) < 0.5*float64(o.Periods) {
		t.Errorf("throttled in only %d of %d periods", o.ThrottledPeriods, o.Periods)
	}
	// The kernel hands out the quota in slices to each CPU, so that a group may overdraw it by a few.
	if !used.Known || used.MeanCPU < 3 || used.MeanCPU > 20 {
		t.Errorf("mean CPU use is %.1f %% of a core, want about 10: %+v", used.MeanCPU, used)
	}
	own := 100 * float64(got.Process) / float64(got.Wall)
	if used.MeanCPU < 0.7*own || used.MeanCPU > 1.5*own {
		t.Errorf("the group used %.1f %% of a core, its only process %.1f %%", used.MeanCPU, own)
	}
}

// limitedGroups makes control groups for the CPU with the quota in cores, and for the use of CPU where that is a
// hierarchy of its own, and removes them when the test has ended.
func limitedGroups(t *testing.T, cores float64) []string {
	t.Helper()
	root := os.DirFS("/")
	where := parseMembership(text(root, "proc/self/cgroup"))
	mounts := parseMounts(text(root, "proc/self/mountinfo"))
	const period = 100_000
	quota := strconv.Itoa(int(cores * period))
	// topOf is where the hierarchy of the controller is mounted.
	topOf := func(controller string) string {
		for _, m := range mounts {
			if _, ok := where[controller]; ok && slices.Contains(m.controllers, controller) {
				return m.point
			}
		}
		return ""
	}
	var dirs []string
	switch {
	case topOf("cpu") != "":
		dirs = []string{makeGroup(t, topOf("cpu"))}
		write(t, dirs[0], "cpu.cfs_period_us", strconv.Itoa(period))
		write(t, dirs[0], "cpu.cfs_quota_us", quota)
		if topOf("cpuacct") != topOf("cpu") {
			dirs = append(dirs, makeGroup(t, topOf("cpuacct")))
		}
	case topOf(unified) != "":
		dirs = []string{makeGroup(t, topOf(unified))}
		if _, err := os.Stat(filepath.Join(dirs[0], "cpu.max")); err != nil {
			t.Fatalf("groups below %s have no CPU controller; enable it with: echo +cpu > %[1]s/cgroup.subtree_control",
				topOf(unified))
		}
		write(t, dirs[0], "cpu.max", fmt.Sprintf("%s %d", quota, period))
	default:
		t.Fatal("no control groups are mounted: mount them, or run this test as another user than root to leave it out")
	}
	return dirs
}

func makeGroup(t *testing.T, below string) string {
	t.Helper()
	dir := filepath.Join(below, fmt.Sprintf("kdoctor-observer-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("cannot make a control group: %v", err)
	}
	t.Cleanup(func() {
		// The kernel may still be burying the child.
		deadline := time.Now().Add(10 * time.Second)
		for {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("the control group is left behind: %v", err)
				return
			}
			runtime.Gosched()
		}
	})
	return dir
}

func write(t *testing.T, dir, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestThisProcessIsRead(t *testing.T) {
	reader := Open()
	before := reader.Read()
	if !before.Known || before.Memory < 1<<20 || before.CPU <= 0 {
		t.Errorf("this process is said to use %+v", before)
	}
	if want := fileLimit(); before.FileLimit != want || want == 0 {
		t.Errorf("%d descriptors may be open, want %d", before.FileLimit, want)
	}
	if before.Ports == 0 || before.Ports > 65536 {
		t.Errorf("there are %d ports", before.Ports)
	}
	const more = 50
	for range more {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
	}
	if after := reader.Read(); before.Files == 0 || after.Files < before.Files+more || after.Files > before.Files+more+
		10 {
		t.Errorf("%d descriptors are open, and %d after %d more", before.Files, after.Files, more)
	}
}
