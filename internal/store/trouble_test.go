package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/memblob"
	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
)

// childEnv tells a process of this test binary, started by a test, which folder it is to work in.
const childEnv = "KDOCTOR_STORE_CHILD_DIR"

// child prepares a process of this test binary that runs one test alone, with a folder to work in.
func child(t *testing.T, test, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	return cmd
}

// block puts a file where the folder of a task would be: a write fails, whoever tries, until the file is gone.
func block(t *testing.T, dir, uid string) (unblock func()) {
	t.Helper()
	path := filepath.Join(dir, uid)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func key(uid string, round int64) schedule.Key {
	return schedule.Key{UID: uid, Generation: 1, Round: round}
}

func TestARoundThatCannotBeWrittenIsReadFromMemory(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u2", 1)
	unblock := block(t, dir, "u1")
	want := storetest.Kept(key("u1", 1))
	err := s.PutRound(t.Context(), want)
	var notStored *store.NotStoredError
	if !errors.As(err, &notStored) || !notStored.Held || notStored.Key != want.Round.Key ||
		!errors.Is(err, syscall.ENOTDIR) {
		t.Fatalf("got %v, want a NotStoredError of a held round", err)
	}
	if err := s.PutPlan(t.Context(), key("u1", 2), storetest.Plan(key("u1", 2))); err != nil {
		t.Errorf("a plan that cannot be written stops the round: %v", err)
	}
	got, err := s.Latest(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, storetest.Exact()); diff != "" {
		t.Errorf("the held round changed (-put +got):\n%s", diff)
	}
	if _, err := s.Plan(t.Context(), key("u1", 2)); err != nil {
		t.Errorf("the held plan: %v", err)
	}
	if uids, err := s.Tasks(t.Context()); err != nil || !cmp.Equal(uids, []string{"u1", "u2"}) {
		t.Errorf("got tasks %v, %v", uids, err)
	}
	if _, err := s.Latest(t.Context(), "u2"); err != nil {
		t.Errorf("another task: %v", err)
	}
	unblock()
	put(t, s, "u1", 1)
	if _, err := os.Stat(filepath.Join(dir, "u1", "0000000001", "0000000001.json.gz")); err != nil {
		t.Errorf("put again once it can be written: %v", err)
	}
}

func TestARoundThatCannotBeEncodedIsReadFromMemory(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := storetest.Kept(key("u1", 2))
	want.Spec = json.RawMessage(`{`)
	put(t, s, "u1", 1)
	for range 2 {
		err := s.PutRound(t.Context(), want)
		var notStored *store.NotStoredError
		if !errors.As(err, &notStored) || !notStored.Held || len(notStored.Dropped) > 0 {
			t.Fatalf("got %v, want a NotStoredError of a held round", err)
		}
		if text := err.Error(); !strings.Contains(text, "is held in memory, and lost when this process ends: encode") {
			t.Errorf("the error says %q", text)
		}
	}
	got, err := s.Latest(t.Context(), "u1")
	if diff := cmp.Diff(want, got, storetest.Exact()); diff != "" || err != nil {
		t.Errorf("%v, the held round changed (-put +got):\n%s", err, diff)
	}
	head, err := s.Head(t.Context(), want.Round.Key)
	if err != nil || head.Summary.Reports != 1 || len(head.Round.Agents) > 0 {
		t.Errorf("the head is %+v, %v", head, err)
	}
	agent, err := s.Agent(t.Context(), want.Round.Key, "a")
	if err != nil || agent.Report == nil || agent.Verdict == nil || agent.Report.Pod != "a" {
		t.Errorf("the agent is %+v, %v", agent, err)
	}
	if keys, err := s.Rounds(t.Context(), "u1"); err != nil || len(keys) != 2 {
		t.Errorf("got rounds %v, %v; want both", keys, err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), want.Round.Key.String()) {
		t.Errorf("got %v, want an error that names the lost round", err)
	}
}

func TestARoundThatCanBeEncodedAfterAllIsWritten(t *testing.T) {
	s, dir := folder(t)
	of := storetest.Kept(key("u1", 1))
	of.Spec = json.RawMessage(`{`)
	if err := s.PutRound(t.Context(), of); err == nil {
		t.Fatal("it was written")
	}
	put(t, s, "u1", 1)
	if _, err := os.Stat(filepath.Join(dir, "u1", "0000000001", "0000000001.json.gz")); err != nil {
		t.Error(err)
	}
	got, err := s.Latest(t.Context(), "u1")
	if err != nil || string(got.Spec) == "{" {
		t.Errorf("got a round with the spec %s, %v", got.Spec, err)
	}
}

func TestAPlanThatCannotBeEncodedStopsNoRound(t *testing.T) {
	s, _ := folder(t)
	k := key("u1", 1)
	want := storetest.Plan(k)
	want.Started = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // JSON has no such year
	if err := s.PutPlan(t.Context(), k, want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Plan(t.Context(), k)
	if diff := cmp.Diff(want, got, storetest.Exact()); diff != "" || err != nil {
		t.Errorf("%v, the held plan changed (-put +got):\n%s", err, diff)
	}
	if err := s.DeletePlan(t.Context(), k); err != nil {
		t.Error(err)
	}
	if _, err := s.Plan(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestADeletedTaskIsHeldNoLonger(t *testing.T) {
	s, dir := folder(t)
	defer block(t, dir, "u1")()
	if err := s.PutRound(t.Context(), storetest.Kept(key("u1", 1))); err == nil {
		t.Fatal("it was written")
	}
	_ = s.DeleteTask(t.Context(), "u1")
	if _, err := s.Latest(t.Context(), "u1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestClosingTellsWhatIsLost(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer block(t, dir, "u1")()
	if err := s.PutRound(t.Context(), storetest.Kept(key("u1", 7))); err == nil {
		t.Fatal("it was written")
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), key("u1", 7).String()) {
		t.Errorf("got %v, want an error that names the lost round", err)
	}
}

func TestRunWritesWhatIsHeldOnceItCan(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var owner sync.WaitGroup
		owner.Go(func() {
			if err := s.Run(ctx, store.Retention{}); err != nil {
				t.Error(err)
			}
		})
		unblock := block(t, dir, "u1")
		if err := s.PutRound(t.Context(), storetest.Kept(key("u1", 1))); err == nil {
			t.Fatal("it was written")
		}
		time.Sleep(time.Hour) // the bubble's clock
		unblock()
		time.Sleep(6 * time.Minute) // one more than the longest pause
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, "u1", "0000000001", "0000000001.json.gz")); err != nil {
			t.Error(err)
		}
		cancel()
		owner.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRetentionBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(memblob.OpenBucket(nil))
		put(t, s, "old", 1) // the newest of its task, however old
		one := size(t)
		ctx, cancel := context.WithCancel(t.Context())
		var owner sync.WaitGroup
		owner.Go(func() { _ = s.Run(ctx, store.Retention{MaxBytes: 10 * one}) })
		for round := range int64(30) {
			time.Sleep(time.Minute)
			put(t, s, "u1", round+1)
			synctest.Wait()
			keys, err := s.Rounds(t.Context(), "u1")
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) > 8 || keys[len(keys)-1].Round != round+1 {
				t.Fatalf("after round %d the rounds are %v", round+1, keys)
			}
			if round > 20 && len(keys) < 6 {
				t.Fatalf("after round %d only %v are left", round+1, keys)
			}
		}
		if _, err := s.Latest(t.Context(), "old"); err != nil {
			t.Errorf("the only round of another task: %v", err)
		}
		cancel()
		owner.Wait()
		if err := s.Prune(t.Context(), store.Retention{MaxBytes: 1}); err == nil {
			t.Error("Prune does not say that the newest rounds alone are too large")
		}
		for _, uid := range []string{"u1", "old"} {
			if keys, err := s.Rounds(t.Context(), uid); err != nil || len(keys) != 1 {
				t.Errorf("%s: got %v, %v; want the newest alone", uid, keys, err)
			}
		}
	})
}

func TestRetentionByNumber(t *testing.T) {
	const limit, rounds = 40, 120
	synctest.Test(t, func(t *testing.T) {
		s := store.New(memblob.OpenBucket(nil))
		for round := range int64(rounds) { // of a controller that stored without a limit
			put(t, s, "before", round+1)
		}
		put(t, s, "other", 1)
		ctx, cancel := context.WithCancel(t.Context())
		var owner sync.WaitGroup
		owner.Go(func() { _ = s.Run(ctx, store.Retention{MaxRounds: limit}) })
		synctest.Wait()
		for round := range int64(rounds) {
			time.Sleep(time.Minute)
			put(t, s, "u1", round+1)
			put(t, s, "before", rounds+round+1)
			synctest.Wait()
			for uid, newest := range map[string]int64{"u1": round + 1, "before": rounds + round + 1} {
				keys, err := s.Rounds(t.Context(), uid)
				if err != nil {
					t.Fatal(err)
				}
				least, most := min(int(newest), limit), limit+limit/20
				if len(keys) < least || len(keys) > most || keys[len(keys)-1].Round != newest {
					t.Fatalf("%s, after round %d: %d rounds up to %v, want %d to %d", uid, newest, len(keys),
						keys[len(keys)-1], least, most)
				}
			}
		}
		if keys, err := s.Rounds(t.Context(), "other"); err != nil || len(keys) != 1 {
			t.Errorf("a task without rounds since: %v, %v", keys, err)
		}
		cancel()
		owner.Wait()
	})
}

// size is how large a round is when it is kept.
func size(t *testing.T) int64 {
	t.Helper()
	s, dir := folder(t)
	put(t, s, "u1", 1)
	info, err := os.Stat(filepath.Join(dir, "u1", "0000000001", "0000000001.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestAFullDisk fills a real one: a small tmpfs in a mount namespace that ends with the process.
func TestAFullDisk(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		onAFullDisk(t, dir)
		return
	}
	cmd := child(t, "TestAFullDisk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAFullDisk") {
		t.Errorf("%v\n%s", err, out)
	}
}

func onAFullDisk(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "before", 1)
	var last int64
	for last = 1; last < 1000; last++ {
		if err = s.PutRound(t.Context(), storetest.Kept(key("u1", last))); err != nil {
			break
		}
	}
	var notStored *store.NotStoredError
	if !errors.As(err, &notStored) || !notStored.Held || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("round %d: got %v, want a NotStoredError for want of space", last, err)
	}
	if err := s.PutPlan(t.Context(), key("u1", last+1), storetest.Plan(key("u1", last+1))); err != nil {
		t.Errorf("a plan on a full disk stops the round: %v", err)
	}
	for _, path := range files(t, dir) {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("%s was left behind", path)
		}
	}
	readAll(t, s, "u1", int(last))
	readAll(t, s, "before", 1)
	if err := s.Prune(t.Context(), store.Retention{MaxRounds: 2}); err != nil {
		t.Errorf("Prune on a full disk: %v", err)
	}
	put(t, s, "u1", last)
	if err := s.DeletePlan(t.Context(), key("u1", last+1)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// readAll reads all rounds of a task, of which there are at least so many.
func readAll(t *testing.T, s *store.Store, uid string, least int) {
	t.Helper()
	keys, err := s.Rounds(t.Context(), uid)
	if err != nil || len(keys) < least {
		t.Fatalf("%s: got %d rounds, %v; want %d", uid, len(keys), err, least)
	}
	for _, k := range keys {
		if _, err := s.Round(t.Context(), k); err != nil {
			t.Errorf("round %s: %v", k, err)
		}
	}
}

// TestAKilledWriterLosesNothing kills a process that keeps rounds, over and over at moments of no choosing. What it
// said is kept must be kept.
func TestAKilledWriterLosesNothing(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		writeForEver(t, dir)
		return
	}
	dir := t.TempDir()
	acknowledged, halves := 0, 0
	for range 25 {
		acknowledged = max(acknowledged, writeAndKill(t, dir, acknowledged))
		halves += temporary(t, dir)
		s, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, s, "u1", acknowledged)
		s.RemoveHalves(0)
		if n := temporary(t, dir); n > 0 {
			t.Errorf("%d temporary files are left", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if acknowledged == 0 {
		t.Error("no round was ever kept, so nothing was tested")
	}
	t.Logf("%d rounds kept; %d half-written files found and removed", acknowledged, halves)
}

// writeForEver keeps rounds from the first free number on, and says so of each one once it is kept.
func writeForEver(t *testing.T, dir string) {
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.Rounds(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(len(keys)) + 1; ; n++ {
		put(t, s, "u1", n)
		fmt.Printf("kept %d\n", n)
	}
}

// writeAndKill runs a writer for a moment and returns the last number of which it said that it is kept.
func writeAndKill(t *testing.T, dir string, last int) int {
	t.Helper()
	cmd := child(t, "TestAKilledWriterLosesNothing", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The clock begins with the first round, so that a slow start is not what is tested.
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "kept %d", &n); err != nil {
			continue
		}
		last = max(last, n)
		if kill == nil {
			kill = time.AfterFunc(time.Duration(rand.Int64N(int64(20*time.Millisecond))),
				func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if kill == nil {
		t.Fatalf("the writer kept nothing: %v", err)
	}
	return last
}

// temporary counts temporary files.
func temporary(t *testing.T, dir string) int {
	t.Helper()
	var n int
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
