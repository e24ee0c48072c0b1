package apiserver

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"kdoctor.io/kdoctor/internal/apiserver/render"
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
	m.mu.Lock()
	if m.rounds == nil {
		m.rounds, m.kept = map[string]verdict.StoredRound{}, map[schedule.Key]verdict.StoredRound{}
	}
	m.rounds[uid] = verdict.StoredRound{Round: r, Verdict: verdict.Judge(r, verdict.Expect{})}
	m.kept[r.Key] = m.rounds[uid]
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

func (m memoryReports) Latest(_ context.Context, uid string) (verdict.StoredRound, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if err := m.broken[uid]; err != nil {
		return verdict.StoredRound{}, false, err
	}
	kept, ok := m.rounds[uid]
	return kept, ok, nil
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
	return kept, ok, nil
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
