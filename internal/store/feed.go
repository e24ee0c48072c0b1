package store

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// feed tells watchers which tasks changed. A watcher that is slow gets each changed task once, so that nothing piles up
// and nothing is lost.
type feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	pending map[string]struct{}
	wake    chan struct{}
}

// Watch calls changed with the sorted UIDs of the tasks whose rounds were put or deleted in this process since the last
// call, until the context is over, and returns its error. Before anything else it calls changed once with no UIDs: from
// then on no change is missed, so that is the moment to read the state of things.
func (s *Store) Watch(ctx context.Context, changed func(uids []string)) error {
	w := s.feed.add()
	defer s.feed.remove(w)
	changed(nil)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
			changed(s.feed.take(w))
		}
	}
}

func (f *feed) add() *watcher {
	w := &watcher{pending: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers = map[*watcher]struct{}{}
	}
	f.watchers[w] = struct{}{}
	return w
}

func (f *feed) remove(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}

func (f *feed) changed(uid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		w.pending[uid] = struct{}{}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (f *feed) take(w *watcher) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	uids := slices.Sorted(maps.Keys(w.pending))
	clear(w.pending)
	return uids
}
