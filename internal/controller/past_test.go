package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
)

// history is what a store has of past rounds, or why it cannot be read.
type history struct {
	rounds [][]report.Usual
	err    error
}

func (h history) Past(_ context.Context, _ schedule.Key, rounds int) ([][]report.Usual, error) {
	return h.rounds[:min(len(h.rounds), rounds)], h.err
}

func TestAPastThatCannotBeReadIsLoggedAndNone(t *testing.T) {
	row := []report.Usual{{Paths: 1}}
	many := make([][]report.Usual, PastRounds+3)
	for _, c := range []struct {
		name   string
		stored history
		want   diagnose.Past
		logged int
	}{
		{"a readable past is returned", history{rounds: [][]report.Usual{row}}, diagnose.Past{row}, 0},
		{"no more rounds than are compared with", history{rounds: many}, many[:PastRounds], 0},
		{"an error is no past, and is logged", history{err: errors.New("the bucket is away")}, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged := 0
			log := funcr.New(func(string, string) { logged++ }, funcr.Options{})
			got := Past(c.stored, log)(t.Context(), schedule.Key{UID: "u", Generation: 1, Round: 5})
			if diff := cmp.Diff(c.want, got); diff != "" || logged != c.logged {
				t.Errorf("%d lines logged, want %d; past (-want +got):\n%s", logged, c.logged, diff)
			}
		})
	}
}
