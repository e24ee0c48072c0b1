package controller

import (
	"context"

	"github.com/go-logr/logr"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
)

// PastRounds is how many past rounds of a task a round is compared with at most.
const PastRounds = 10

// PastStore has what stored rounds were like; see store.Store.Past.
type PastStore interface {
	Past(ctx context.Context, key schedule.Key, rounds int) ([][]report.Usual, error)
}

// Past returns a function that returns what the newest rounds before the round of the key were like. It keeps nothing
// in memory, so a controller that was restarted knows as much as before. Where past rounds cannot be read, it logs that
// and returns none: no round is lost for its history.
func Past(stored PastStore, log logr.Logger) func(ctx context.Context, key schedule.Key) diagnose.Past {
	return func(ctx context.Context, key schedule.Key) diagnose.Past {
		past, err := stored.Past(ctx, key, PastRounds)
		if err != nil {
			log.Error(err, "read past rounds; the round is judged without them", "round", key.String())
			return nil
		}
		return past
	}
}
