package inventory

import (
	"context"
	"sync"
	"time"
)

// longestPause is the longest pause between two readings of the same list.
const longestPause = time.Second

// sharing lets callers that want the same list at the same time share one reading. Nobody gets a list whose reading
// began before the call: a caller that comes while the list is read waits for the next reading, together with all
// others that come meanwhile. So a list is never older than one that the caller had read alone, however many rounds
// run. Between two readings there is a pause as long as the last one took, at most longestPause.
//
// The zero value is ready for use.
type sharing[T any] struct {
	mu    sync.Mutex
	lists map[string]*sharedList[T]
}

// sharedList is one list of the many.
type sharedList[T any] struct {
	// users is how many callers are at the list.
	users int
	// next is the reading that has not begun; nil when nobody waits for one.
	next *reading[T]
	// turn is taken by the reading under way.
	turn chan struct{}
	// idleUntil is when the next reading may begin.
	idleUntil time.Time
}

// reading is one reading for all its callers.
type reading[T any] struct {
	// over is closed when the fields below are set.
	over chan struct{}
	// given says that the caller who was to read gave up, so that another must.
	given bool
	value T
	err   error
}

// get returns the list of the key, read by this call or by another one's after this one came. Callers must not change
// what they get.
func (s *sharing[T]) get(ctx context.Context, key string, read func(context.Context) (T, error)) (T, error) {
	list := s.enter(key)
	defer s.leave(list)
	for {
		r, mine := s.join(list)
		if mine {
			s.run(ctx, list, r, read)
			return r.value, r.err
		}
		select {
		case <-r.over:
			if !r.given {
				return r.value, r.err
			}
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
}

// enter returns the list of the key, and forgets lists that nobody uses.
func (s *sharing[T]) enter(key string) *sharedList[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, list := range s.lists {
		if list.users == 0 && other != key && time.Now().After(list.idleUntil) {
			delete(s.lists, other)
		}
	}
	list, ok := s.lists[key]
	if !ok {
		if s.lists == nil {
			s.lists = map[string]*sharedList[T]{}
		}
		list = &sharedList[T]{turn: make(chan struct{}, 1)}
		s.lists[key] = list
	}
	list.users++
	return list
}

func (s *sharing[T]) leave(list *sharedList[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list.users--
}

// join returns the next reading, and whether the caller is the one to do it.
func (s *sharing[T]) join(list *sharedList[T]) (r *reading[T], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list.next == nil {
		list.next, mine = &reading[T]{over: make(chan struct{})}, true
	}
	return list.next, mine
}

// run waits for the reading's turn and reads for all who joined until then.
func (s *sharing[T]) run(ctx context.Context, list *sharedList[T], r *reading[T],
	read func(context.Context) (T, error)) {
	defer close(r.over)
	select {
	case list.turn <- struct{}{}:
		defer func() { <-list.turn }()
	case <-ctx.Done():
	}
	if s.pause(ctx, list); !s.begin(ctx, list, r) {
		return
	}
	began := time.Now()
	r.value, r.err = read(ctx)
	r.given = r.err != nil && ctx.Err() != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := time.Now()
	list.idleUntil = ended.Add(min(ended.Sub(began), longestPause))
}

// pause waits until the next reading may begin.
func (s *sharing[T]) pause(ctx context.Context, list *sharedList[T]) {
	s.mu.Lock()
	wait := time.Until(list.idleUntil)
	s.mu.Unlock()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// begin lets nobody join the reading any more, and reports whether its caller still wants it.
func (s *sharing[T]) begin(ctx context.Context, list *sharedList[T], r *reading[T]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	list.next = nil
	r.err = ctx.Err()
	r.given = r.err != nil
	return !r.given
}
