package apiserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/watch"

	"kdoctor.io/kdoctor/internal/apiserver/render"
)

// listing is the list of tasks that is under way, and the next one, for those who asked after it had begun: a list that
// began earlier may lack what its caller knows already. Its zero value has none.
type listing struct {
	mu            sync.Mutex
	running, next *flight
}

// tasksError is why the tasks could not be listed.
type tasksError struct{ cause error }

// Error says what was tried.
func (e tasksError) Error() string { return fmt.Sprintf("list tasks: %v", e.cause) }

// Unwrap returns the cause.
func (e tasksError) Unwrap() error { return e.cause }

// checkTasks warns the caller when the tasks could not be listed, and fails when they never were.
func (h *hub) checkTasks(ctx context.Context, refreshed error) error {
	var unlisted tasksError
	if !errors.As(refreshed, &unlisted) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.listed {
		return failure(refreshed)
	}
	warn(ctx, "the tasks are as they were seen last: %v", refreshed)
	return nil
}

// list takes in which tasks there are, and returns them by the names of their reports.
func (h *hub) list(ctx context.Context) ([]render.ReportedTask, error) {
	joined, err := h.joinList()
	if err == nil {
		err = await(ctx, &h.late, tasksSubject, joined.done, joined.pulse)
	}
	if err == nil {
		err = joined.err
	}
	if err != nil {
		return nil, tasksError{cause: err}
	}
	tasks, _ := joined.value.([]render.ReportedTask)
	return tasks, nil
}

// joinList returns a list that has not begun yet.
func (h *hub) joinList() (*flight, error) {
	l := &h.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running != nil {
		if l.next == nil {
			l.next = newFlight()
		}
		return l.next, nil
	}
	first := newFlight()
	if !h.flights.run(func(ctx context.Context) { h.runLists(ctx, first) }) {
		return nil, context.Canceled
	}
	l.running = first
	return first, nil
}

// runLists lists the tasks, and again as long as somebody asked meanwhile. Lists follow each other, so that no older
// one is taken in after a newer one.
func (h *hub) runLists(ctx context.Context, f *flight) {
	for f != nil {
		f.value, f.err = h.takeIn(ctx)
		h.late.mark(tasksSubject, slow(f.err))
		h.listing.mu.Lock()
		over := f
		f, h.listing.next = h.listing.next, nil
		h.listing.running = f
		h.listing.mu.Unlock()
		close(over.done)
	}
}

// takeIn lists the tasks, makes entries for new ones and takes away those of tasks that are gone.
func (h *hub) takeIn(ctx context.Context) ([]render.ReportedTask, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	tasks, err := h.tasks.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tasks, func(a, b render.ReportedTask) int {
		return cmp.Compare(render.Name(a.Kind, a.Name), render.Name(b.Kind, b.Name))
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = true
	present := make(map[string]bool, len(tasks))
	for _, task := range tasks {
		present[task.UID] = true
		if e := h.entries[task.UID]; e != nil {
			e.wanted = task
			continue
		}
		h.entries[task.UID] = &entry{wanted: task, task: task, err: errUnread}
		h.dirty[task.UID] = true
	}
	for uid, e := range h.entries {
		if !present[uid] {
			delete(h.entries, uid)
			h.objects.drop(uid)
			h.late.forget(uid)
			h.publish(e, watch.Deleted, e.visible)
		}
	}
	for uid := range h.dirty {
		if !present[uid] {
			delete(h.dirty, uid)
		}
	}
	return tasks, nil
}
