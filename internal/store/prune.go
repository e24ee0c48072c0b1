package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stranded is the age above which a temporary file has no writer any more.
const stranded = time.Hour

// Retention says what Prune keeps. A limit of zero is no limit.
type Retention struct {
	// MaxRounds is how many rounds of each task stay, the newest ones.
	MaxRounds int
	// MaxAge is how old a round or a plan may get, counted from when it was written.
	MaxAge time.Duration
}

// Prune removes what the retention does not keep, and temporary files that a crash left. The newest round of a task always stays:
// it goes with DeleteTask. An error with one task does not keep Prune from the others; all errors come back joined.
func (s *Store) Prune(ctx context.Context, keep Retention) error {
	uids, err := s.Tasks(ctx)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	var errs []error
	for _, uid := range uids {
		if err := s.pruneTask(ctx, uid, keep); err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", uid, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) pruneTask(ctx context.Context, uid string, keep Retention) error {
	names, err := s.names(ctx, uid)
	if err != nil {
		return err
	}
	now := time.Now()
	var rounds []name
	var doomed []string
	for _, n := range names {
		switch age := now.Sub(n.modified); {
		case n.suffix == roundSuffix:
			rounds = append(rounds, n)
		case n.suffix == planSuffix && keep.MaxAge > 0 && age > keep.MaxAge:
			doomed = append(doomed, n.name)
		case n.suffix == "" && age > stranded:
			doomed = append(doomed, n.name)
		}
	}
	slices.SortFunc(rounds, func(a, b name) int { return -compare(a.key, b.key) })
	for i, n := range rounds {
		tooMany := keep.MaxRounds > 0 && i >= keep.MaxRounds
		tooOld := keep.MaxAge > 0 && now.Sub(n.modified) > keep.MaxAge
		if i > 0 && (tooMany || tooOld) {
			doomed = append(doomed, n.name)
		}
	}
	var errs []error
	for _, at := range doomed {
		if err := s.remove(ctx, at); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
