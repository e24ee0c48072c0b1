package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// stranded is the age above which a temporary file has no writer any more.
	stranded = time.Hour
	// block is what a file takes of a disk at least, in bytes.
	block = 4096
	// room is the part of the space, one in so many, that stays free; as much again is made free when it is not,
	// so that not every round needs a look at all others.
	room = 10
)

// Retention says what Prune keeps. A limit of zero is no limit.
type Retention struct {
	// MaxRounds is how many rounds of each task stay, the newest ones.
	MaxRounds int
	// MaxAge is how old a round or a plan may get, counted from when it was written.
	MaxAge time.Duration
	// MaxBytes is how much space there is for all blobs of all tasks, packed; in a folder a blob counts with the blocks
	// that it takes. When more than nine tenths are taken, the oldest rounds go until eight tenths are.
	MaxBytes int64
}

// Prune removes what the retention does not keep of this installation's tasks, and temporary files that a crash left.
// The newest round of a task always stays: it goes with DeleteTask. An error with one task does not keep Prune from the
// others; all errors come back joined.
func (s *Store) Prune(ctx context.Context, keep Retention) error {
	uids, err := s.ours(ctx)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	var errs []error
	for _, uid := range uids {
		if err := s.pruneTask(ctx, uid, keep); err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", uid, err))
		}
	}
	if keep.MaxBytes > 0 {
		errs = append(errs, s.pruneSize(ctx, keep.MaxBytes))
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
		case n.suffix == "" && !n.isMark() && age > stranded:
			doomed = append(doomed, n.name)
		}
	}
	sortByAge(rounds)
	slices.Reverse(rounds)
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

// pruneSize removes the oldest rounds that are not the newest of their task, if all blobs together leave less than a
// tenth of the limit free.
func (s *Store) pruneSize(ctx context.Context, limit int64) error {
	total, candidates, errs := s.weigh(ctx)
	if total > limit-limit/room {
		slices.SortStableFunc(candidates, func(a, b name) int { return a.modified.Compare(b.modified) })
		for _, n := range candidates {
			if total <= limit-2*(limit/room) || ctx.Err() != nil {
				break
			}
			if err := s.remove(ctx, n.name); err != nil {
				errs = append(errs, fmt.Errorf("remove round %s: %w", n.key, err))
				continue
			}
			total -= s.cost(n.size)
		}
	}
	if len(errs) == 0 {
		s.usage.set(total)
	}
	if total > limit {
		errs = append(errs, fmt.Errorf("reports take %d bytes, more than the %d that they may: what is left are the "+
			"newest of every task", total, limit))
	}
	return errors.Join(errs...)
}

// weigh returns what all blobs take together, the rounds that may go, and which tasks could not be looked at.
func (s *Store) weigh(ctx context.Context) (total int64, candidates []name, errs []error) {
	uids, err := s.ours(ctx)
	if err != nil {
		return 0, nil, []error{err}
	}
	for _, uid := range uids {
		names, err := s.names(ctx, uid)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, n := range names {
			total += s.cost(n.size)
		}
		rounds := slices.DeleteFunc(names, func(n name) bool { return n.suffix != roundSuffix })
		sortByAge(rounds)
		candidates = append(candidates, rounds[:max(len(rounds), 1)-1]...)
	}
	return total, candidates, errs
}

// cost is what a blob of the size takes.
func (s *Store) cost(size int64) int64 {
	if s.dir == "" {
		return size
	}
	return (size + block - 1) / block * block
}

// usage estimates how much is kept, from the last listing and what was written since, so that a listing is needed only
// once in a while.
type usage struct {
	mu sync.Mutex
	// limit is what Run watches, zero for nothing, and threshold from where on it has something to do: nine tenths of
	// it, or where the newest rounds alone are larger, a tenth more than they are.
	limit, threshold int64
	known            bool
	bytes            int64
}

// watch sets the limit.
func (u *usage) watch(limit int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limit, u.threshold = limit, limit-limit/room
}

// set takes what a listing found.
func (u *usage) set(bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known, u.bytes, u.threshold = true, bytes, u.limit-u.limit/room
	if bytes > u.threshold {
		u.threshold = bytes + u.limit/room
	}
}

// add counts what was written and reports whether it may be too much now; it may be as long as nothing was listed.
func (u *usage) add(bytes int64) bool {
	u.mu.Lock()
	u.bytes += bytes
	u.mu.Unlock()
	return u.exceeded()
}

func (u *usage) exceeded() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.limit > 0 && (!u.known || u.bytes > u.threshold)
}
