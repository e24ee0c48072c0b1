package apiserver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"kdoctor.io/kdoctor/internal/apiserver/render"
)

const (
	// maxEvents bounds how far back a watch may begin; one that begins earlier is told to list anew.
	maxEvents = 1024
	// retry is the pause before a failed look at tasks and rounds is repeated.
	retry = 30 * time.Second
	// lookWithin bounds how long callers wait for a look at what changed, failedFor how long a round that could not be
	// read is not tried again.
	lookWithin, failedFor = 10 * time.Second, 5 * time.Second
)

// hub knows which reports there are and numbers their changes. It holds one line per report; the reports themselves
// stay where they are kept.
//
// Resource versions are its own: microseconds of its start plus one per change. They grow over restarts too,
// and a watch that begins at a version of another life of the server is told to list anew.
type hub struct {
	tasks   Tasks
	reports Reports
	wake    chan struct{}
	// watches are the goroutines of all watches.
	watches sync.WaitGroup
	stopped chan struct{}

	mu      sync.Mutex
	version uint64
	entries map[string]*entry
	dirty   map[string]bool
	events  []event
	// grown is closed when events are added.
	grown chan struct{}

	lines lines
}

// entry is what the hub knows of a task.
type entry struct {
	task    render.ReportedTask
	summary render.Summary
	version uint64
	// visible reports whether the task has a round that can be read.
	visible bool
	// err is why its round cannot be read, and again when it is tried once more.
	err   error
	again time.Time
}

type event struct {
	version uint64
	kind    watch.EventType
	task    render.ReportedTask
}

func newHub(tasks Tasks, reports Reports, started time.Time) *hub {
	return &hub{
		tasks: tasks, reports: reports,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), grown: make(chan struct{}),
		version: uint64(max(started.UnixMicro(), 0)), entries: map[string]*entry{}, dirty: map[string]bool{},
	}
}

// touch marks tasks whose rounds changed; no UIDs means that any may have.
func (h *hub) touch(uids []string) {
	h.lines.forget(uids)
	h.mu.Lock()
	if len(uids) == 0 {
		uids = slices.Collect(maps.Keys(h.entries))
	}
	for _, uid := range uids {
		h.dirty[uid] = true
		if e := h.entries[uid]; e != nil {
			e.again = time.Time{}
		}
	}
	h.mu.Unlock()
	h.wakeUp()
}

// wakeUp makes run look again.
func (h *hub) wakeUp() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run looks at tasks and rounds whenever something changed, until the context is over; then it ends all watches and
// waits for them.
func (h *hub) run(ctx context.Context) error {
	defer h.end()
	for {
		var again <-chan time.Time
		if err := h.refresh(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Looking for changed reports failed; will look again", "after", retry)
			again = time.After(retry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-again:
		}
	}
}

// start runs a watch, which ends when the hub does; it is false when the hub has ended.
func (h *hub) start(watch func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return false
	default:
		h.watches.Go(watch)
		return true
	}
}

// end ends all watches and waits for them.
func (h *hub) end() {
	h.mu.Lock()
	close(h.stopped)
	h.mu.Unlock()
	h.watches.Wait()
}

// refresh brings the hub up to date. It reads the rounds of those tasks alone that changed. An unreadable round is
// logged and kept for the one who asks for it; the error returned is that of the first such round, or of the list of
// tasks.
func (h *hub) refresh(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	// A store that does not answer must not keep those waiting for ever who come for what is known.
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	tasks, err := h.tasks.List(ctx)
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	slices.SortFunc(tasks, func(a, b render.ReportedTask) int {
		return cmp.Compare(render.Name(a.Kind, a.Name), render.Name(b.Kind, b.Name))
	})
	last := h.version
	present := make(map[string]bool, len(tasks))
	for _, task := range tasks {
		present[task.UID] = true
	}
	for uid, e := range h.entries {
		if !present[uid] {
			delete(h.entries, uid)
			h.publish(e, watch.Deleted, e.visible)
		}
	}
	var first error
	for _, task := range tasks {
		if err := h.look(ctx, task); err != nil && first == nil {
			first = err
		}
	}
	for uid := range h.dirty {
		if !present[uid] {
			delete(h.dirty, uid)
		}
	}
	if h.version != last {
		close(h.grown)
		h.grown = make(chan struct{})
	}
	return first
}

// look brings one entry up to date.
func (h *hub) look(ctx context.Context, task render.ReportedTask) error {
	e, known := h.entries[task.UID]
	if known && !h.dirty[task.UID] && reflect.DeepEqual(e.task, task) {
		return nil
	}
	if known && e.err != nil && time.Now().Before(e.again) && reflect.DeepEqual(e.task, task) {
		return e.err
	}
	if !known {
		e = &entry{task: task}
		h.entries[task.UID] = e
	}
	kept, found, err := h.reports.Latest(ctx, task.UID)
	if ctx.Err() != nil {
		h.dirty[task.UID] = true
		if !known {
			// Whoever asks before the next look must not hear that there is no round.
			e.err = ctx.Err()
		}
		return ctx.Err()
	}
	was := e.visible
	e.task, e.err = task, err
	if err != nil {
		// The report stays where it was seen before: trouble with the store must not look like a deletion.
		h.dirty[task.UID] = true
		e.again = time.Now().Add(failedFor)
		return fmt.Errorf("latest round of %s: %w", e.name(), err)
	}
	delete(h.dirty, task.UID)
	if e.visible = found; found {
		e.summary = render.Summarize(render.Report(task, kept))
	}
	switch {
	case e.visible && was:
		h.publish(e, watch.Modified, true)
	case e.visible:
		h.publish(e, watch.Added, true)
	default:
		h.publish(e, watch.Deleted, was)
	}
	return nil
}

// publish numbers a change, if it is one that users see.
func (h *hub) publish(e *entry, kind watch.EventType, seen bool) {
	if !seen {
		return
	}
	h.version++
	e.version = h.version
	h.events = append(h.events, event{version: h.version, kind: kind, task: e.task})
	if len(h.events) > maxEvents {
		h.events = slices.Clone(h.events[len(h.events)-maxEvents/2:])
	}
}

// list returns the entries that have a report, sorted by name, and the version that they are of.
func (h *hub) list() ([]entry, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var entries []entry
	for _, e := range h.entries {
		if e.visible {
			entries = append(entries, *e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name(), b.name()) })
	return entries, h.version
}

// all returns the entries of all tasks, whether they have a report or not, sorted by name.
func (h *hub) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var entries []entry
	for _, e := range h.entries {
		entries = append(entries, *e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name(), b.name()) })
	return entries
}

// find returns the entry of the report of that name, whether it has a round or not.
func (h *hub) find(name string) (entry, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.entries {
		if e.name() == name {
			return *e, true
		}
	}
	return entry{}, false
}

// since returns the events after a version and a channel that is closed when there are more. It is not ok when some are
// forgotten already.
func (h *hub) since(version uint64) (events []event, more <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	oldest := h.version - uint64(len(h.events))
	if version < oldest || version > h.version {
		return nil, nil, false
	}
	// Versions of events follow each other without a gap.
	return slices.Clone(h.events[version-oldest:]), h.grown, true
}

// summaryOf returns the line of a task.
func (h *hub) summaryOf(uid string) (render.Summary, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.entries[uid]; ok && e.visible {
		return e.summary, true
	}
	return render.Summary{}, false
}

func (e entry) name() string { return render.Name(e.task.Kind, e.task.Name) }

func text(version uint64) string { return strconv.FormatUint(version, 10) }

// bookmark is metadata that tells a version alone.
func bookmark(version uint64, initialEnd bool) metav1.ObjectMeta {
	m := metav1.ObjectMeta{ResourceVersion: text(version)}
	if initialEnd {
		m.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return m
}
