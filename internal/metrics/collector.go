package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// NotRun is the result of a round without a report, beside those of package verdict.
const NotRun verdict.Result = "not run"

// results are all results of rounds; a path may be void, and always has a result.
func results() []verdict.Result {
	return []verdict.Result{verdict.Pass, verdict.NoData, verdict.ToolLimited, verdict.Fail, NotRun}
}

func pathResults() []verdict.Result {
	return []verdict.Result{verdict.Pass, verdict.Void, verdict.NoData, verdict.ToolLimited, verdict.Fail}
}

// Task is what is exposed of a task that its rounds do not say.
type Task struct {
	Kind, Name, UID string
	Created         time.Time
	// Interval is the time from the start of the last round to the next one, 0 if no further round is to start. Timeout
	// is how long a round may take.
	Interval, Timeout time.Duration
	// Due is when the round that runs, or the next one, is to be over at the latest; zero if there is none.
	Due time.Time
	// Missed reports that a planned start was missed since the last round was over.
	Missed bool
	// Finished is when the last round was over by the task's status, zero if none was.
	Finished time.Time
}

// Operation is something that is done with the store.
type Operation string

// The operations.
const (
	Read  Operation = "read"
	Write Operation = "write"
	Prune Operation = "prune"
)

// Build says what the program was built from.
type Build struct{ Version, Revision, GoVersion string }

// Config is where a Collector gets what rounds do not say.
type Config struct {
	// Leading reports whether this controller leads. Nothing is exposed of tasks by one that does not.
	Leading func() bool
	// Tasks returns all tasks there are. Nodes returns the names of all nodes there are. The series of others are not
	// exposed. If they return an error, the series of tasks are not exposed.
	Tasks func(ctx context.Context) ([]Task, error)
	Nodes func(ctx context.Context) (map[string]bool, error)
	// Certificates returns when the certificates in use end, by name.
	Certificates func() map[string]time.Time
	Build        Build
}

// Collector exposes what it is told of rounds. It is safe for concurrent use. Make it with New.
type Collector struct {
	config   Config
	families map[string]described

	mu      sync.Mutex
	tasks   map[string]*taskState
	running map[schedule.Key]bool
	errors  map[Operation]uint64
}

// described is a family as client_golang has it.
type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// taskState is what is kept of a task between its rounds.
type taskState struct {
	// key is that of the last round.
	key schedule.Key
	// last are the figures of the last round; nil after a round without a report.
	last *figures
	// finished is when the last round was over, passed when the last one was that passed.
	finished, passed time.Time
	result           verdict.Result
	rounds           map[verdict.Result]uint64
	// total has what is counted over all rounds.
	total map[group]*groupFigures
}

// New returns a collector that knows of no round.
func New(c Config) *Collector {
	all := map[string]described{}
	for _, f := range Families() {
		kind := prometheus.GaugeValue
		if f.Type == Counter {
			kind = prometheus.CounterValue
		}
		all[f.Name] = described{prometheus.NewDesc(f.Name, f.Help+".", f.Labels, nil), kind}
	}
	return &Collector{config: c, families: all, tasks: map[string]*taskState{}, running: map[schedule.Key]bool{},
		errors: map[Operation]uint64{Read: 0, Write: 0, Prune: 0}}
}

// Begin says that a round runs.
func (c *Collector) Begin(key schedule.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[key] = true
}

// Withdraw says that a round ended early and is without a result.
func (c *Collector) Withdraw(key schedule.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, key)
}

// End says how a round ended. A round without a judgement counts as not run, and ended at the given time. A round that
// was told of before adds nothing to the counters.
func (c *Collector) End(key schedule.Key, done verdict.StoredRound, at time.Time) {
	var f *figures
	if done.Verdict.Result != "" {
		f = figuresOfAll(&done.Round, done.Verdict)
	}
	// Nobody may ever ask for the series, so old tasks are dropped here too.
	tasks, _, known := c.lists()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, key)
	if known {
		c.forgetOthers(tasks)
	}
	t := c.task(key.UID)
	again := t.key == key
	t.note(key, f, at)
	if again {
		return
	}
	t.rounds[t.result]++
	if f == nil {
		return
	}
	for of, g := range f.groups {
		if t.total[of] == nil {
			t.total[of] = &groupFigures{}
		}
		t.total[of].add(g)
	}
}

// Failed says that something could not be done with the store.
func (c *Collector) Failed(what Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors[what]++
}

// Restore says what the last round was before this controller led. It does nothing if a round has ended since.
func (c *Collector) Restore(r *Restored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.task(r.key.UID); t.key == (schedule.Key{}) {
		t.note(r.key, r.figures, r.figures.ended)
	}
}

// task returns the state of the task; c.mu is held.
func (c *Collector) task(uid string) *taskState {
	t := c.tasks[uid]
	if t == nil {
		t = &taskState{rounds: map[verdict.Result]uint64{}, total: map[group]*groupFigures{}}
		c.tasks[uid] = t
	}
	return t
}

// note makes a round the last one of the task.
func (t *taskState) note(key schedule.Key, f *figures, at time.Time) {
	t.key, t.last, t.finished, t.result = key, f, at, NotRun
	if f == nil {
		return
	}
	t.result = f.result
	if !f.ended.IsZero() {
		t.finished = f.ended
	}
	if f.result == verdict.Pass {
		t.passed = t.finished
	}
}

// figuresOfAll returns the figures of a round with those of its agents.
func figuresOfAll(round *report.Round, v verdict.Verdict) *figures {
	f := figuresOf(round, v, diagnose.Findings(*round, v))
	sums := round.HasSums()
	reports := make(map[string]*report.AgentReport, len(round.Agents))
	for i := range round.Agents {
		reports[round.Agents[i].Pod] = &round.Agents[i]
	}
	for i := range v.Agents {
		if r := reports[v.Agents[i].Pod]; r != nil {
			f.agent(r, &v.Agents[i], sums)
		}
	}
	f.reported = len(round.Agents)
	return f
}

// Restored collects a stored round agent by agent.
type Restored struct {
	key     schedule.Key
	figures *figures
	sums    bool
}

// NewRestored returns a stored round without its agents. Stored findings are those of a round in which agents report
// sums; RestoreWhole finds those of others.
func NewRestored(head *report.Round, v verdict.Verdict) *Restored {
	return &Restored{key: head.Key, figures: figuresOf(head, v, head.Findings), sums: true}
}

// RestoreWhole returns a stored round that has its agents.
func RestoreWhole(stored verdict.StoredRound) *Restored {
	return &Restored{key: stored.Round.Key, figures: figuresOfAll(&stored.Round, stored.Verdict)}
}

// Add adds the report of an agent and the judgement on it.
func (r *Restored) Add(a *report.AgentReport, judged *verdict.JudgedAgent) {
	r.figures.agent(a, judged, r.sums)
}
