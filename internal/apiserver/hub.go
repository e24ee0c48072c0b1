package apiserver

import (
	"cmp"
	"context"
	"maps"
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
	// retry is the pause after which tasks and rounds are looked at again, whether a change was announced or not.
	retry = 30 * time.Second
)

// hub knows which reports there are and numbers their changes. It holds one line per report, and those reports that
// were rendered last. It never reads a round or renders a report while it holds its lock: each task has looks of its
// own, so that a large round or a slow store keeps nobody waiting who asks for another report. Every read of the store
// is shared by all who ask for the same at the same time, goes on when they are gone, and is waited for within bounds.
//
// Resource versions are its own: microseconds of its start plus one per change. They grow over restarts too,
// and a watch that begins at a version of another life of the server is told to list anew.
type hub struct {
	tasks   Tasks
	reports Reports
	wake    chan struct{}
	// running are the goroutines of all watches and looks.
	running sync.WaitGroup
	stopped chan struct{}
	// cancel ends all reads that are under way.
	cancel  context.CancelFunc
	listing listing
	flights flights
	late    laggards
	objects objects
	lines   lines

	mu sync.Mutex
	// listed reports that the tasks were listed once.
	listed  bool
	version uint64
	entries map[string]*entry
	dirty   map[string]bool
	events  []event
	// grown is closed when events are added.
	grown chan struct{}
}

// entry is what the hub knows of a task.
type entry struct {
	// wanted is the task as it was listed last, task as it was when the hub last looked.
	wanted, task render.ReportedTask
	round        render.Facts
	summary      render.Summary
	version      uint64
	// visible reports whether the task has a round that can be read.
	visible bool
	// err is why its round cannot be read, and again when it is tried once more.
	err   error
	again time.Time
	// look is the look that is under way, nil without one.
	look *look
}

type event struct {
	version uint64
	kind    watch.EventType
	task    render.ReportedTask
}

func newHub(tasks Tasks, reports Reports, started time.Time) *hub {
	life, cancel := context.WithCancel(context.Background())
	h := &hub{
		tasks: tasks, reports: reports,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), grown: make(chan struct{}),
		cancel: cancel, objects: newObjects(),
		version: uint64(max(started.UnixMicro(), 0)), entries: map[string]*entry{}, dirty: map[string]bool{},
	}
	h.flights = flights{late: &h.late, byKey: map[string]*flight{}, run: func(read func(context.Context)) bool {
		return h.start(func() { read(life) })
	}}
	return h
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

// run looks at tasks and rounds whenever something changed, and every 30 s, until the context is over; then it ends all
// watches and reads and waits for them. It does not wait for single rounds: one that is slow holds no other back.
func (h *hub) run(ctx context.Context) error {
	defer h.end()
	again := time.NewTicker(retry)
	defer again.Stop()
	for {
		if _, err := h.look(ctx, everyTask); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Looking for changed reports failed; will look again", "after", retry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-again.C:
		}
	}
}

// start runs a watch or a read, which ends when the hub does; start is false when the hub has ended.
func (h *hub) start(part func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return false
	default:
		h.running.Go(part)
		return true
	}
}

// end ends all watches and looks, and waits for them.
func (h *hub) end() {
	h.mu.Lock()
	close(h.stopped)
	h.cancel()
	for _, e := range h.entries {
		if e.look != nil {
			e.look.cancel()
		}
	}
	h.mu.Unlock()
	h.running.Wait()
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
	close(h.grown)
	h.grown = make(chan struct{})
}

// reported returns the entries that have a report, sorted by name, and the version that they are of.
func (h *hub) reported() ([]entry, uint64) {
	all, version := h.all()
	return slices.DeleteFunc(all, func(e entry) bool { return !e.visible }), version
}

// all returns the entries of all tasks, whether they have a report or not, sorted by name, and the version that they
// are of.
func (h *hub) all() ([]entry, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var entries []entry
	for _, e := range h.entries {
		entries = append(entries, *e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name(), b.name()) })
	return entries, h.version
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

// remember keeps a report that was rendered for an entry, unless the entry changed meanwhile.
func (h *hub) remember(e entry, seen rendered) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.entries[e.task.UID]; now != nil && now.version == e.version && now.look == nil && seen.object != nil {
		h.objects.put(e.task.UID, seen)
	}
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

func (e entry) name() string { return render.Name(e.wanted.Kind, e.wanted.Name) }

// known reports whether there is a report from before, although the latest round could not be read in time.
func (e entry) known() bool { return e.visible && slow(e.err) }

func text(version uint64) string { return strconv.FormatUint(version, 10) }

// bookmark is metadata that tells a version alone.
func bookmark(version uint64, initialEnd bool) metav1.ObjectMeta {
	m := metav1.ObjectMeta{ResourceVersion: text(version)}
	if initialEnd {
		m.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return m
}
