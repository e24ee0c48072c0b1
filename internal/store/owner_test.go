package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/memblob"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/verdict"
)

// putRound keeps a round of the task.
func putRound(t *testing.T, s *store.Store, uid string, round int64) {
	t.Helper()
	err := s.PutRound(t.Context(),
		verdict.StoredRound{Round: report.Round{Key: schedule.Key{UID: uid, Generation: 1, Round: round}}})
	if err != nil {
		t.Fatal(err)
	}
}

// opened is a store in the folder, of the installation.
func opened(t *testing.T, dir, installation string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s.OwnedBy(installation)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// age makes all of a task's files so old.
func age(t *testing.T, dir, uid string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	err := filepath.WalkDir(filepath.Join(dir, uid), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAbandonedIsWhatThisInstallationWroteAndNobodyNeedsForADay(t *testing.T) {
	dir := t.TempDir()
	ours, other := opened(t, dir, "cluster-a/kdoctor"), opened(t, dir, "cluster-b/kdoctor")
	for _, uid := range []string{"exists", "gone", "gone-today"} {
		putRound(t, ours, uid, 1)
	}
	putRound(t, other, "other", 1)
	for _, uid := range []string{"exists", "gone", "other"} {
		age(t, dir, uid, 25*time.Hour)
	}
	for name, s := range map[string]*store.Store{"as it wrote them": ours,
		"after a restart": opened(t, dir, "cluster-a/kdoctor")} {
		found, err := s.Abandoned(t.Context(), map[string]bool{"exists": true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(store.Abandoned{UIDs: []string{"gone"}, Foreign: 1}, found); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatAnEarlierReleaseKeptIsOursInAFolderAndNobodysInABucket(t *testing.T) {
	dir := t.TempDir()
	putRound(t, opened(t, dir, "a/kdoctor"), "old", 1)
	if err := os.Remove(filepath.Join(dir, "old", "owner")); err != nil {
		t.Fatal(err)
	}
	age(t, dir, "old", 48*time.Hour)
	found, err := opened(t, dir, "a/kdoctor").Abandoned(t.Context(), nil)
	if err != nil || !cmp.Equal(found.UIDs, []string{"old"}) {
		t.Errorf("in a folder: %+v, %v", found, err)
	}

	bucket := memblob.OpenBucket(nil)
	s := store.New(bucket)
	s.OwnedBy("a/kdoctor")
	defer func() { _ = s.Close() }()
	putRound(t, s, "old", 1)
	if err := bucket.Delete(t.Context(), "old/owner"); err != nil {
		t.Fatal(err)
	}
	again := store.New(bucket) // it has read no mark yet
	again.OwnedBy("a/kdoctor")
	found, err = again.Abandoned(t.Context(), nil)
	if err != nil || found.Foreign != 1 || len(found.UIDs) > 0 {
		t.Errorf("in a bucket: %+v, %v; want it left alone", found, err)
	}
	// Its task exists in this cluster: it is marked.
	if _, err := again.Abandoned(t.Context(), map[string]bool{"old": true}); err != nil {
		t.Fatal(err)
	}
	if mark, err := bucket.ReadAll(t.Context(), "old/owner"); err != nil || string(mark) != "a/kdoctor\n" {
		t.Errorf("the mark is %q, %v", mark, err)
	}
}

func TestRetentionLeavesAloneWhatAnotherInstallationWrote(t *testing.T) {
	dir := t.TempDir()
	ours, other := opened(t, dir, "a/kdoctor"), opened(t, dir, "b/kdoctor")
	for n := int64(1); n <= 3; n++ {
		putRound(t, ours, "ours", n)
		putRound(t, other, "other", n)
	}
	age(t, dir, "ours", 25*time.Hour)
	age(t, dir, "other", 25*time.Hour)
	if err := ours.Prune(t.Context(), store.Retention{MaxRounds: 1, MaxAge: time.Hour, MaxBytes: 1}); err == nil {
		t.Error("one byte for the newest round was enough")
	}
	for uid, want := range map[string]int{"ours": 1, "other": 3} {
		if keys, err := ours.Rounds(t.Context(), uid); err != nil || len(keys) != want {
			t.Errorf("of %s %d rounds are left, %v; want %d", uid, len(keys), err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ours", "owner")); err != nil {
		t.Errorf("the mark is gone: %v", err)
	}
}

func TestADeletedTaskLeavesNoMark(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, "a/kdoctor")
	putRound(t, s, "u", 1)
	if err := s.DeleteTask(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
	putRound(t, s, "u", 2)
	if _, err := os.Stat(filepath.Join(dir, "u", "owner")); err != nil {
		t.Errorf("what came later has no mark: %v", err)
	}
}

// Release 0.1.0 could count the rounds of a heartbeat from 1 again in the same generation.
func TestRoundsThatCountFromOneAgainAreTheNewest(t *testing.T) {
	s := store.New(memblob.OpenBucket(nil))
	defer func() { _ = s.Close() }()
	for _, n := range []int64{4996, 4997, 4998, 4999, 5000, 1, 2} {
		putRound(t, s, "u", n)
		time.Sleep(2 * time.Millisecond)
	}
	if key, err := s.LatestKey(t.Context(), "u"); err != nil || key.Round != 2 {
		t.Errorf("the newest round is %v, %v; want round 2, which ended last", key, err)
	}
	if err := s.Prune(t.Context(), store.Retention{MaxRounds: 3}); err != nil {
		t.Fatal(err)
	}
	keys, err := s.Rounds(t.Context(), "u")
	if err != nil || len(keys) != 3 || keys[0].Round != 1 || keys[1].Round != 2 || keys[2].Round != 5000 {
		t.Errorf("the retention kept %v, %v; want rounds 1, 2 and 5000", keys, err)
	}
}

// A round that waited in memory is written after the one that followed it.
func TestARoundThatWasWrittenLateIsNotTheNewest(t *testing.T) {
	for name, rounds := range map[string][]int64{"two rounds": {2, 1}, "among others": {1, 2, 4, 3},
		"a copy in any order": {7, 3, 9, 1, 5}} {
		s := store.New(memblob.OpenBucket(nil))
		newest := int64(0)
		for _, n := range rounds {
			putRound(t, s, "u", n)
			newest = max(newest, n)
			time.Sleep(2 * time.Millisecond)
		}
		if key, err := s.LatestKey(t.Context(), "u"); err != nil || key.Round != newest {
			t.Errorf("%s: the newest round is %v, %v; want %d", name, key, err, newest)
		}
		_ = s.Close()
	}
}
