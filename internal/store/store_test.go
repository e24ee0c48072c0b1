package store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/memblob"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
)

func memory(t *testing.T) *store.Store {
	s := store.New(memblob.OpenBucket(nil))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func folder(t *testing.T) (*store.Store, string) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	s, err := store.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func TestContract(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { storetest.Run(t, memory) })
	t.Run("in a folder", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) *store.Store { s, _ := folder(t); return s })
	})
}

func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	for _, location := range []string{"", "file://", "file://host/a", "gs://bucket", "s3://", "file:///a?metadata=",
		"file:///%zz"} {
		if s, err := store.Open(t.Context(), location); err == nil {
			t.Errorf("Open(%q) gave %v", location, s)
		}
	}
}

func put(t *testing.T, s *store.Store, uid string, rounds ...int64) {
	t.Helper()
	for _, r := range rounds {
		if err := s.PutRound(t.Context(), storetest.Kept(schedule.Key{UID: uid, Generation: 1, Round: r})); err != nil {
			t.Fatal(err)
		}
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); name != "." {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestTheFolderHoldsNothingButTheRounds(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u1", 7)
	want := []string{"u1", "u1/0000000001", "u1/0000000001/0000000007.json.gz"}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := s.DeleteTask(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("a deleted task left %v", left)
	}
}

func TestADamagedBlobIsAnErrorForItsOwnKeyAlone(t *testing.T) {
	damage := map[string]func([]byte) []byte{
		"empty":                 func([]byte) []byte { return nil },
		"cut short":             func(b []byte) []byte { return b[:len(b)/2] },
		"without its last byte": func(b []byte) []byte { return b[:len(b)-1] },
		"a flipped bit":         func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"not gzip":              func([]byte) []byte { return []byte(`{"format":1}`) },
		"of a newer release":    func([]byte) []byte { return zipped(`{"format":3,"round":[]}`) },
		"of no format at all":   func([]byte) []byte { return zipped(`{}`) },
		"larger than any blob":  func(b []byte) []byte { return append(b, make([]byte, 64<<20)...) },
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			s, dir := folder(t)
			put(t, s, "u1", 1, 2)
			path := filepath.Join(dir, "u1", "0000000001", "0000000002.json.gz")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Latest(t.Context(), "u1"); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			if keys, err := s.Rounds(t.Context(), "u1"); err != nil || len(keys) != 2 {
				t.Errorf("got %v, %v; want both keys", keys, err)
			}
			if _, err := s.Round(t.Context(), schedule.Key{UID: "u1", Generation: 1, Round: 1}); err != nil {
				t.Errorf("the whole round is lost too: %v", err)
			}
			put(t, s, "u1", 2)
			if _, err := s.Latest(t.Context(), "u1"); err != nil {
				t.Errorf("the damaged round cannot be replaced: %v", err)
			}
		})
	}
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // memory takes everything
	}
	return b.Bytes()
}

func TestABlobUnderAnotherKeyIsCorrupt(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u1", 1)
	at := filepath.Join(dir, "u1", "0000000001")
	if err := os.Rename(filepath.Join(at, "0000000001.json.gz"), filepath.Join(at, "0000000009.json.gz")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Latest(t.Context(), "u1"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func TestForeignFilesAreNoRounds(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u1", 1)
	for _, name := range []string{"u1/notes.txt", "u1/0000000001/0000000002.json.gz.18f.tmp", "u1/0000000001/2.json.gz",
		"u1/0000000001/+000000002.json.gz", "lost+found", "a.b/x"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := s.Rounds(t.Context(), "u1")
	if want := []schedule.Key{{UID: "u1", Generation: 1, Round: 1}}; err != nil || !cmp.Equal(keys, want) {
		t.Errorf("got %v, %v; want %v", keys, err, want)
	}
	if uids, err := s.Tasks(t.Context()); err != nil || !cmp.Equal(uids, []string{"u1"}) {
		t.Errorf("got tasks %v, %v; want u1", uids, err)
	}
}

func TestNoNumberForCPUCostsNoReport(t *testing.T) {
	s := memory(t)
	kept := storetest.Kept(schedule.Key{UID: "u1", Generation: 1, Round: 1})
	kept.Round.Agents = append(kept.Round.Agents,
		report.AgentReport{Pod: "b", Resources: report.Resources{MaxCPU: math.NaN(), Known: true}})
	if err := s.PutRound(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	got, err := s.Latest(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Round.Agents[0].Resources.Known || got.Round.Agents[1].Resources.Known {
		t.Errorf("got resources %+v and %+v; want the first kept and the second unknown", got.Round.Agents[0].Resources,
			got.Round.Agents[1].Resources)
	}
	if !math.IsNaN(kept.Round.Agents[1].Resources.MaxCPU) {
		t.Error("the caller's own round was changed")
	}
}

func TestPrune(t *testing.T) {
	cases := map[string]struct {
		keep store.Retention
		want []int64
	}{
		"no limits keep everything":          {store.Retention{}, []int64{1, 2, 3, 4}},
		"a number keeps the newest":          {store.Retention{MaxRounds: 2}, []int64{3, 4}},
		"an age keeps the young":             {store.Retention{MaxAge: 150 * time.Minute}, []int64{3, 4}},
		"the newest stays however old it is": {store.Retention{MaxAge: time.Minute}, []int64{4}},
		"the stricter of both limits decides": {store.Retention{MaxRounds: 3, MaxAge: 150 * time.Minute},
			[]int64{3, 4}},
		"a number above what there is is no op": {store.Retention{MaxRounds: 40}, []int64{1, 2, 3, 4}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.New(memblob.OpenBucket(nil))
				for round := range int64(4) {
					put(t, s, "u1", round+1)
					time.Sleep(time.Hour) // the bubble's clock
				}
				if err := s.Prune(t.Context(), c.keep); err != nil {
					t.Fatal(err)
				}
				keys, err := s.Rounds(t.Context(), "u1")
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for _, k := range keys {
					got = append(got, k.Round)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("rounds (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestPruneRemovesOldTemporaryFilesOnly(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u1", 1)
	at := filepath.Join(dir, "u1", "0000000001")
	for name, age := range map[string]time.Duration{"young.tmp": time.Minute, "old.tmp": 2 * time.Hour} {
		if err := os.WriteFile(filepath.Join(at, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(at, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Prune(t.Context(), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"u1", "u1/0000000001", "u1/0000000001/0000000001.json.gz", "u1/0000000001/young.tmp"}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(memblob.OpenBucket(nil))
		put(t, s, "before", 1)
		ctx, cancel := context.WithCancel(t.Context())
		calls := make(chan []string)
		var ended error
		var owner sync.WaitGroup
		owner.Go(func() { ended = s.Watch(ctx, func(uids []string) { calls <- uids }) })
		if first := <-calls; first != nil {
			t.Errorf("the first call brings %v, want nothing", first)
		}
		put(t, s, "u2", 1)
		synctest.Wait() // the watcher now hangs in its callback
		put(t, s, "u1", 1, 2)
		if err := s.DeleteTask(t.Context(), "u2"); err != nil {
			t.Fatal(err)
		}
		got := [][]string{<-calls, <-calls}
		if diff := cmp.Diff([][]string{{"u2"}, {"u1", "u2"}}, got); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		cancel()
		owner.Wait()
		if !errors.Is(ended, context.Canceled) {
			t.Errorf("Watch ended with %v", ended)
		}
		put(t, s, "u3", 1) // nobody listens: must not hang
	})
}

func TestListingWhileWriting(t *testing.T) {
	s, _ := folder(t)
	put(t, s, "u1", 1)
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			if err := s.PutRound(context.WithoutCancel(ctx),
				storetest.Kept(schedule.Key{UID: "u1", Generation: 1, Round: 1})); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		if keys, err := s.Rounds(t.Context(), "u1"); err != nil || len(keys) != 1 {
			t.Fatalf("got %v, %v", keys, err)
		}
		if _, err := s.Latest(t.Context(), "u1"); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	writer.Wait()
}
