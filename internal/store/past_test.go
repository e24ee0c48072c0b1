package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
)

// usually is what a round of the number was like.
func usually(number int64) []report.Usual {
	return []report.Usual{{Rung: ladder.PodToPod, Method: ladder.UDP, Large: true, Paths: 6, Sent: uint64(number),
		Lost: 1, Median: 300_000, Spread: 20_000}}
}

// putUsual stores rounds; those without a ladder have nothing to compare with.
func putUsual(t *testing.T, s *store.Store, generation int64, ladders bool, rounds ...int64) {
	t.Helper()
	for _, r := range rounds {
		kept := storetest.Kept(schedule.Key{UID: "u1", Generation: generation, Round: r})
		kept.Round.Ladder = nil
		if ladders {
			kept.Round.Ladder = &report.Ladder{Usual: usually(r)}
		}
		if err := s.PutRound(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePastIsTheNewestRoundsThatHaveSomethingToCompareWith(t *testing.T) {
	s, dir := folder(t)
	putUsual(t, s, 1, true, 1, 2, 90)
	putUsual(t, s, 2, true, 3, 4, 5, 8, 9)
	putUsual(t, s, 2, false, 6)
	damaged := filepath.Join(dir, "u1", "0000000002", "0000000005.json.gz")
	if err := os.WriteFile(damaged, []byte("no report"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		round  int64
		rounds int
		want   [][]report.Usual
	}{
		{"older rounds of the generation", 9, 10, [][]report.Usual{usually(8), usually(4), usually(3)}},
		{"no more than asked for", 9, 2, [][]report.Usual{usually(8), usually(4)}},
		{"no further back than three rounds for one", 8, 1, [][]report.Usual{usually(4)}},
		{"the first round", 3, 10, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.Past(t.Context(), schedule.Key{UID: "u1", Generation: 2, Round: c.round}, c.rounds)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("error %v, past (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestThePastEndsWhereNothingWasLearnedForLong(t *testing.T) {
	s := memory(t)
	putUsual(t, s, 1, true, 1)
	putUsual(t, s, 1, false, 2, 3, 4, 5, 6)
	for round, want := range map[int64]int{6: 1, 7: 1, 8: 0} {
		if round == 8 {
			putUsual(t, s, 1, false, 7)
		}
		if got, err := s.Past(t.Context(), schedule.Key{UID: "u1", Generation: 1, Round: round}, 2); err != nil ||
			len(got) != want {
			t.Errorf("round %d: past %+v, error %v; want %d rounds", round, got, err, want)
		}
	}
}

func TestAPastThatCannotBeReadIsAnError(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	putUsual(t, s, 1, true, 1, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	past, err := s.Past(t.Context(), schedule.Key{UID: "u1", Generation: 1, Round: 3}, 10)
	if err == nil || errors.Is(err, store.ErrCorrupt) || len(past) > 0 {
		t.Errorf("past %+v, error %v; want an error", past, err)
	}
}

func TestRoundsOfTheFirstReleaseHaveNoPast(t *testing.T) {
	s, dir := folder(t)
	old, err := os.ReadFile(filepath.Join("testdata", "first-release.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "u1", "0000000001")
	if err := errors.Join(os.MkdirAll(at, 0o750), os.WriteFile(filepath.Join(at, "0000000001.json.gz"), old,
		0o600)); err != nil {
		t.Fatal(err)
	}
	if past, err := s.Past(t.Context(), schedule.Key{UID: "u1", Generation: 1, Round: 2}, 10); err != nil ||
		len(past) > 0 {
		t.Errorf("past %+v, error %v; want none", past, err)
	}
}
