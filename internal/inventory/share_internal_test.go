package inventory

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowList is a list that takes a while to read; a reading returns when it began.
type slowList struct {
	sharing[time.Time]
	takes time.Duration
	err   error

	mu       sync.Mutex
	readings int
}

func (l *slowList) read(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	l.readings++
	l.mu.Unlock()
	began := time.Now()
	select {
	case <-time.After(l.takes):
		return began, l.err
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func TestCallersShareReadingsThatBeginAfterTheirCalls(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name         string
		calls        int
		apart, takes time.Duration
		readings     int
		// longest is how long the last caller waits.
		longest time.Duration
	}{
		{"one caller reads at once", 1, 0, second, 1, second},
		{"of twenty at the same time the first reads for itself, and another for all others, after a pause", 20, 0, second,
			2, 3 * second},
		{"a quick list pauses shortly", 20, 0, 10 * time.Millisecond, 2, 30 * time.Millisecond},
		{"callers that come one by one share a reading every two times that it takes", 100, 100 * time.Millisecond, second,
			6, 3 * second},
		{"no pause is longer than a second", 100, 100 * time.Millisecond, 4 * second, 3, 9 * second},
		{"callers far apart read alone", 3, 10 * second, second, 3, second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := &slowList{takes: c.takes}
				var calls sync.WaitGroup
				var longest time.Duration
				for range c.calls {
					calls.Go(func() {
						called := time.Now()
						began, err := list.get(t.Context(), "nodes", list.read)
						if err != nil || began.Before(called) {
							t.Errorf("called at %v and got a list of %v, %v", called, began, err)
						}
						list.mu.Lock()
						defer list.mu.Unlock()
						longest = max(longest, time.Since(called))
					})
					time.Sleep(c.apart)
				}
				calls.Wait()
				if list.readings != c.readings || longest > c.longest {
					t.Errorf("%d readings, the longest wait was %v; want %d and at most %v", list.readings, longest,
						c.readings, c.longest)
				}
			})
		})
	}
}

func TestACallerThatGivesUpLeavesTheReadingToAnother(t *testing.T) {
	for _, c := range []struct {
		name string
		// first is how long the first caller waits, of two that come while a list is read for two seconds.
		first time.Duration
	}{
		{"before the reading has begun", time.Second},
		{"while it waits out the pause", 2500 * time.Millisecond},
		{"while it reads", 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := &slowList{takes: 2 * time.Second}
				var calls sync.WaitGroup
				call := func(within time.Duration, want error) {
					calls.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), within)
						defer cancel()
						called := time.Now()
						began, err := list.get(ctx, "nodes", list.read)
						if !errors.Is(err, want) || (err == nil && began.Before(called)) {
							t.Errorf("got a list of %v, %v; want it from %v on, or %v", began, err, called, want)
						}
					})
					synctest.Wait()
				}
				call(time.Minute, nil)
				call(c.first, context.DeadlineExceeded)
				call(time.Minute, nil)
				calls.Wait()
			})
		})
	}
}

func TestAnErrorIsSharedAndTheNextReadingTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &slowList{takes: time.Second, err: errors.New("the API server is away")}
		var calls sync.WaitGroup
		for range 5 {
			calls.Go(func() {
				if _, err := list.get(t.Context(), "nodes", list.read); !errors.Is(err, list.err) {
					t.Errorf("got %v", err)
				}
			})
		}
		calls.Wait()
		list.err = nil
		if _, err := list.get(t.Context(), "nodes", list.read); err != nil {
			t.Errorf("after the error: %v", err)
		}
	})
}

func TestListsOfTheirOwnDoNotWaitForEachOtherAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &slowList{takes: time.Second}
		began := time.Now()
		var calls sync.WaitGroup
		for _, key := range []string{"a", "b", "c"} {
			calls.Go(func() { _, _ = list.get(t.Context(), key, list.read) })
		}
		calls.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("three lists took %v, want a second", took)
		}
		time.Sleep(2 * time.Second)
		_, _ = list.get(t.Context(), "d", list.read)
		if len(list.lists) != 1 {
			t.Errorf("%d lists are remembered, want 1", len(list.lists))
		}
	})
}
