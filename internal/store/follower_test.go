package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/store"
)

// A replica that follows opens the folder in which the leader writes.
func TestAFollowerReadsAFolderAndChangesNothingThere(t *testing.T) {
	dir := t.TempDir()
	leader, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	leader.OwnedBy("cluster/kdoctor")
	put(t, leader, "u1", 1)
	// The leader is in the midst of writing the next round.
	half := filepath.Join(dir, "u1", "0000000001", "0000000002.json.gz.18f2a.tmp")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := sizes(t, dir)
	follower, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	follower.OwnedBy("cluster/kdoctor")
	for n := int64(1); n <= 3; n++ {
		if latest, err := follower.Latest(t.Context(), "u1"); err != nil || latest.Round.Key.Round != n {
			t.Errorf("the follower reads %v, %v; want round %d", latest.Round.Key, err, n)
		}
		if diff := cmp.Diff(before, sizes(t, dir)); diff != "" {
			t.Errorf("the follower changed the folder (-before +after):\n%s", diff)
		}
		put(t, leader, "u1", n+1)
		before = sizes(t, dir)
	}
	if err := follower.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, sizes(t, dir)); diff != "" {
		t.Errorf("the follower changed the folder as it ended (-before +after):\n%s", diff)
	}
	// It leads now: what the leader before may still be writing stays for a while.
	leader.RemoveHalves(time.Hour)
	if temporary(t, dir) != 1 {
		t.Error("a young half was removed")
	}
	leader.RemoveHalves(0)
	if temporary(t, dir) != 0 {
		t.Error("an old half was left")
	}
	if err := leader.Close(); err != nil {
		t.Error(err)
	}
}

// sizes are the sizes of all files by their paths.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			found[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
