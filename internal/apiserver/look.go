package apiserver

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
)

// errUnread is why there is nothing to say yet of a task that was never looked at: nobody may hear that it has no
// round.
var errUnread = errors.New("the round is still being read; ask again")

// look is one look at one task's latest round.
type look struct {
	// done is closed when the look is over.
	done   chan struct{}
	pulse  *pulse
	cancel context.CancelFunc
}

func everyTask(render.ReportedTask) bool { return true }

// refresh brings the hub up to date. It reads the rounds of those tasks alone that changed. An unreadable round is
// kept for the one who asks for it; the error returned is that of the first such round, or of the list of tasks, or of
// the context of a caller who could not wait. What is slow is waited for within bounds, and goes on then.
func (h *hub) refresh(ctx context.Context) error { return h.refreshThose(ctx, everyTask) }

// refreshOne does the same for the report of one name.
func (h *hub) refreshOne(ctx context.Context, name string) error {
	return h.refreshThose(ctx, func(t render.ReportedTask) bool { return render.Name(t.Kind, t.Name) == name })
}

func (h *hub) refreshThose(ctx context.Context, wanted func(render.ReportedTask) bool) error {
	// All looks begin before the first one is waited for.
	chosen, err := h.look(ctx, wanted)
	if err != nil {
		return err
	}
	var first error
	for _, uid := range chosen {
		if err := h.await(ctx, uid); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// look lists the tasks and begins to look at those of the wanted ones that changed. It returns the UIDs of the wanted
// ones, by the names of their reports.
func (h *hub) look(ctx context.Context, wanted func(render.ReportedTask) bool) ([]string, error) {
	tasks, err := h.list(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []string
	for _, task := range tasks {
		if wanted(task) {
			chosen = append(chosen, task.UID)
			_, _ = h.begin(ctx, task.UID) // await returns the error
		}
	}
	return chosen, nil
}

// outdated reports whether a look at the entry is due. Call it with the lock held.
func (h *hub) outdated(uid string, e *entry) bool {
	if !h.dirty[uid] && reflect.DeepEqual(e.task, e.wanted) {
		return false
	}
	return e.err == nil || !time.Now().Before(e.again)
}

// begin returns the look that is under way at a task, begins one if one is due, or returns nil and what is known.
func (h *hub) begin(ctx context.Context, uid string) (*look, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[uid]
	if e == nil {
		return nil, nil
	}
	if e.look != nil {
		return e.look, nil
	}
	if !h.outdated(uid, e) {
		return nil, e.err
	}
	select {
	case <-h.stopped:
		return nil, context.Canceled
	default:
	}
	// A look goes on when the one who asked for it is gone: the next one will ask for the same.
	p := &pulse{began: time.Now()}
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), pulseKey{}, p))
	e.look = &look{done: make(chan struct{}), pulse: p, cancel: cancel}
	task, read := e.wanted, h.dirty[uid]
	delete(h.dirty, uid)
	h.running.Go(func() { h.take(ctx, e, task, read) })
	return e.look, nil
}

// await waits until nothing is due at a task, and returns why its round cannot be read.
func (h *hub) await(ctx context.Context, uid string) error {
	for {
		l, err := h.begin(ctx, uid)
		if l == nil {
			return err
		}
		if err := await(ctx, &h.late, latestSubject(uid), l.done, l.pulse); err != nil {
			return err
		}
	}
}

// take looks at the task's latest round, unless only the task changed, and puts what it saw into the entry.
func (h *hub) take(ctx context.Context, e *entry, task render.ReportedTask, read bool) {
	seen, err := rendered{}, error(nil)
	if read {
		ctx, cancel := context.WithTimeout(ctx, lookWithin)
		seen, err = h.readLatest(ctx, task)
		cancel()
		h.late.mark(latestSubject(task.UID), slow(err))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer close(e.look.done)
	defer func() { e.look.cancel(); e.look = nil }()
	if h.entries[task.UID] != e {
		return
	}
	if err != nil {
		// The report stays where it was seen before: trouble with the store must not look like a deletion.
		h.dirty[task.UID] = true
		e.task, e.again = task, time.Now().Add(failedFor)
		e.err = fmt.Errorf("latest round of %s: %w", e.name(), err)
		if !slow(err) {
			h.objects.drop(task.UID)
		}
		klog.FromContext(ctx).Info("A latest round cannot be read; will look again", "report", e.name(), "reason", err)
		return
	}
	h.see(e, task, read, seen)
}

// see puts into the entry what a look saw. Call it with the lock held.
func (h *hub) see(e *entry, task render.ReportedTask, read bool, seen rendered) {
	was := e.visible
	e.task, e.err = task, nil
	switch {
	case !read:
		e.summary = e.summary.Of(task, e.round)
		h.objects.update(task, e.round)
	case seen.object != nil:
		e.visible, e.round, e.summary = true, seen.facts, render.Summarize(seen.object)
		h.objects.put(task.UID, seen)
	default:
		e.visible = false
		h.objects.drop(task.UID)
	}
	switch {
	case e.visible && was:
		h.publish(e, watch.Modified, true)
	case e.visible:
		h.publish(e, watch.Added, true)
	default:
		h.publish(e, watch.Deleted, was)
	}
	if h.dirty[task.UID] {
		// It changed once more meanwhile.
		h.wakeUp()
	}
}

// readLatest renders the task's latest round; the result has no object when there is none.
func (h *hub) readLatest(ctx context.Context, task render.ReportedTask) (rendered, error) {
	key, found, err := h.reports.LatestKey(ctx, task.UID)
	if err != nil || !found {
		return rendered{}, err
	}
	return h.readRound(ctx, task, key)
}

// readRound renders a stored round as soon as there is a slot for it; the result has no object when there is none. A
// round in which agents report sums is read agent by agent, others are small enough to be read as a whole.
func (h *hub) readRound(ctx context.Context, task render.ReportedTask, key schedule.Key) (rendered, error) {
	return h.objects.render(ctx, func(ctx context.Context) (rendered, error) {
		parts, found, err := h.reports.Parts(ctx, key)
		if err != nil || !found {
			return rendered{}, err
		}
		if !parts.Head.Round.HasSums() {
			stored, found, err := h.reports.Round(ctx, key)
			if err != nil || !found {
				return rendered{}, err
			}
			return newRendered(render.Report(task, stored), render.FactsOf(stored)), nil
		}
		stream := render.NewStream(task, parts.Head)
		for a, err := range parts.Agents(func(_, _ string) bool { return true }) {
			if err != nil {
				return rendered{}, err
			}
			beat(ctx)
			if a.Report != nil {
				stream.Add(a.Report, a.Verdict)
			}
		}
		return newRendered(stream.Report(), render.FactsOf(parts.Head)), nil
	})
}

// readLine reads a stored round as far as one line about it needs; false when it is not kept.
func (h *hub) readLine(ctx context.Context, task render.ReportedTask, key schedule.Key) (render.Summary, bool, error) {
	parts, found, err := h.reports.Parts(ctx, key)
	if err != nil || !found {
		return render.Summary{}, false, err
	}
	if parts.Head.Round.HasSums() {
		return render.Line(task, parts.Head, parts.Counts), true, nil
	}
	seen, err := h.readRound(ctx, task, key)
	if err != nil || seen.object == nil {
		return render.Summary{}, false, err
	}
	return render.Summarize(seen.object), true, nil
}
