package apiserver

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// memory keeps tasks and rounds in memory and tells of changes at once.
type memory struct {
	mu     sync.Mutex
	tasks  []render.ReportedTask
	rounds map[string]verdict.StoredRound
	kept   map[schedule.Key]verdict.StoredRound
	broken map[string]error
	// unreadable are the stored rounds that cannot be read;
	unreadable map[schedule.Key]error
	reads      int

	// wholeIsTooMuch makes it an error to read a round of more than ten agents as a whole.
	wholeIsTooMuch bool
	// held, if it is not nil, keeps those waiting who read the latest round of heldUID; waiting is how many there are.
	held    chan struct{}
	heldUID string
	waiting int

	toldRounds func(uids []string)
	toldTasks  func()
}

// keep puts a round in which one agent reported and passed.
func (m *memory) keep(uid string, round int64) { m.keepOf(uid, 1, round) }

// keepOf puts such a round of a generation.
func (m *memory) keepOf(uid string, generation, round int64) {
	r := report.Round{
		Key:      schedule.Key{UID: uid, Generation: generation, Round: round},
		Expected: []report.Expected{{Pod: "a", Node: "n"}, {Pod: "b", Node: "m"}},
		Agents:   []report.AgentReport{{Pod: "a", Node: "n", Finished: true}},
		Missing:  []report.Missing{{Pod: "b", Node: "m", Reason: "no answer on either way"}},
	}
	m.put(verdict.StoredRound{Round: r, Verdict: verdict.Judge(r, verdict.Expect{})})
}

// put stores a round as the latest of its task.
func (m *memory) put(stored verdict.StoredRound) {
	uid := stored.Round.Key.UID
	m.mu.Lock()
	if m.rounds == nil {
		m.rounds, m.kept = map[string]verdict.StoredRound{}, map[schedule.Key]verdict.StoredRound{}
	}
	m.rounds[uid], m.kept[stored.Round.Key] = stored, stored
	tell := m.toldRounds
	m.mu.Unlock()
	if tell != nil {
		tell([]string{uid})
	}
}

// breakRound makes the round of a task unreadable, or readable again.
func (m *memory) breakRound(uid string, err error) {
	m.mu.Lock()
	m.broken = map[string]error{uid: err}
	tell := m.toldRounds
	m.mu.Unlock()
	if tell != nil {
		tell([]string{uid})
	}
}

// read is how often a round was read.
func (m *memory) read() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

// set replaces the tasks.
func (m *memory) set(tasks ...render.ReportedTask) {
	m.mu.Lock()
	m.tasks = tasks
	tell := m.toldTasks
	m.mu.Unlock()
	if tell != nil {
		tell()
	}
}

type memoryReports struct{ *memory }

// hold keeps all waiting who read the latest round of a task, until release is called.
func (m *memory) hold(uid string) (release func()) {
	held := make(chan struct{})
	m.mu.Lock()
	m.held, m.heldUID = held, uid
	m.mu.Unlock()
	return sync.OnceFunc(func() { close(held) })
}

// awaitHeld waits until somebody waits for a round that is held.
func (m *memory) awaitHeld(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		m.mu.Lock()
		waiting := m.waiting
		m.mu.Unlock()
		if waiting > 0 {
			return
		}
	}
	t.Fatal("nobody read the round")
}

func (m memoryReports) LatestKey(ctx context.Context, uid string) (schedule.Key, bool, error) {
	m.mu.Lock()
	held := m.held
	if m.heldUID != uid {
		held = nil
	}
	m.mu.Unlock()
	if held != nil {
		m.mu.Lock()
		m.waiting++
		m.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return schedule.Key{}, false, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken[uid]; err != nil {
		return schedule.Key{}, false, err
	}
	kept, ok := m.rounds[uid]
	return kept.Round.Key, ok, nil
}

func (m memoryReports) Rounds(_ context.Context, uid string) ([]schedule.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []schedule.Key
	for key := range m.kept {
		if key.UID == uid {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b schedule.Key) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Round, b.Round))
	})
	return keys, nil
}

func (m memoryReports) Round(_ context.Context, key schedule.Key) (verdict.StoredRound, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if err := m.unreadable[key]; err != nil {
		return verdict.StoredRound{}, false, err
	}
	kept, ok := m.kept[key]
	if m.wholeIsTooMuch && len(kept.Round.Agents) > 10 {
		return verdict.StoredRound{}, false, errors.New("the whole round was read")
	}
	return kept, ok, nil
}

// Parts reads nothing before agents are asked for.
func (m memoryReports) Parts(_ context.Context, key schedule.Key) (Parts, bool, error) {
	m.mu.Lock()
	stored, found := m.kept[key]
	err := m.unreadable[key]
	m.mu.Unlock()
	if err != nil || !found {
		return Parts{}, false, err
	}
	parts := partsOf(stored)
	agents := parts.Agents
	parts.Agents = func(want func(pod, node string) bool) iter.Seq2[Agent, error] {
		m.mu.Lock()
		m.reads++
		m.mu.Unlock()
		return agents(want)
	}
	parts.Head.Round.Agents, parts.Head.Round.Backends, parts.Head.Verdict.Agents = nil, nil, nil
	parts.Head.Round.Expected = slices.Clone(stored.Round.Expected)
	for i := range stored.Round.Expected {
		parts.Head.Round.Expected[i].Targets = nil
	}
	parts.Counts = roundtest.Counts(stored)
	return parts, true, nil
}

func (m memoryReports) Watch(ctx context.Context, changed func([]string)) error {
	m.mu.Lock()
	m.toldRounds = changed
	m.mu.Unlock()
	changed(nil)
	<-ctx.Done()
	return ctx.Err()
}

type memoryTasks struct{ *memory }

func (m memoryTasks) List(context.Context) ([]render.ReportedTask, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tasks), nil
}

func (m memoryTasks) Watch(ctx context.Context, changed func()) error {
	m.mu.Lock()
	m.toldTasks = changed
	m.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}
