package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
)

const (
	// firstPause is the pause before what is held in memory is tried again; it doubles up to longestPause.
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute
	// lastWords bounds the last try to write what is held, when the store is closed.
	lastWords = 5 * time.Second
)

// Run writes what is held in memory as soon as that is possible, and removes the oldest rounds of a task that has more
// of them than the retention allows, and those of all tasks when all together are larger than it allows. It runs until
// the context is over and logs to the context's logger. Without it rounds are stored all the same.
func (s *Store) Run(ctx context.Context, keep Retention) error {
	log := logr.FromContextOrDiscard(ctx)
	s.usage.watch(keep.MaxBytes)
	s.counts.watch(keep.MaxRounds)
	pause := firstPause
	var due <-chan time.Time
	for {
		if due == nil && len(s.holding.writable()) > 0 {
			due = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			if err := s.pruneDue(ctx, keep); err != nil && ctx.Err() == nil {
				log.Error(err, "remove the oldest reports")
			}
		case <-due:
			due = nil
			n, err := s.flush(ctx)
			if n > 0 {
				log.Info("wrote what had been held in memory", "blobs", n)
			}
			if err == nil || ctx.Err() != nil {
				pause = firstPause
				continue
			}
			pause = min(2*pause, longestPause)
			log.Error(err, "reports wait in memory, since they cannot be written", "again", pause.String())
		}
	}
}

// pruneDue removes what the retention does not keep of tasks that may have too many rounds, and the oldest rounds if
// all together may be too large.
func (s *Store) pruneDue(ctx context.Context, keep Retention) error {
	var errs []error
	for _, uid := range s.counts.popDue() {
		if err := s.pruneTask(ctx, uid, keep); err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", uid, err))
		}
	}
	if s.usage.exceeded() {
		errs = append(errs, s.pruneSize(ctx, keep.MaxBytes))
	}
	return errors.Join(errs...)
}

// wakeUp makes Run look.
func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// flush tries to write all blobs that are held, and returns how many it wrote.
func (s *Store) flush(ctx context.Context) (int, error) {
	var errs []error
	var written int
	for _, b := range s.holding.writable() {
		err := s.flushOne(ctx, b)
		if err == nil {
			written++
			continue
		}
		errs = append(errs, fmt.Errorf("write round %s: %w", b.key, err))
		if s.dir == "" || ctx.Err() != nil {
			// An object store that fails one blob fails them all, each after its own wait.
			break
		}
	}
	return written, errors.Join(errs...)
}

// flushOne writes one blob, unless its task was deleted meanwhile.
func (s *Store) flushOne(ctx context.Context, b held) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if _, still := s.holding.find(b.key, b.suffix); !still {
		return nil
	}
	if err := s.write(ctx, b.key, b.suffix, b.body); err != nil {
		return err
	}
	s.holding.remove(b.key, b.suffix)
	return nil
}

// Close tries once more to write what is held in memory, and closes the bucket. No other method may be under way or
// follow. Its error names the rounds that are lost.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_, _ = s.flush(ctx) // the error is reported below
	var errs []error
	for _, b := range s.holding.all() {
		if b.suffix == roundSuffix {
			errs = append(errs, fmt.Errorf("round %s was never written and is lost", b.key))
		}
	}
	if err := s.bucket.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close store: %w", err))
	}
	return errors.Join(errs...)
}
