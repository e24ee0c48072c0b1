package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/version"
)

// Bounds of the rounds that an agent remembers. The controller fetches a report within seconds of the round's end, or
// within the time that the controller takes to restart.
const (
	maxRounds = 64
	// remember is how long after its end a round is remembered.
	remember = time.Hour
	// maxReportBytes bounds the reports of all ended rounds together. The newest report stays whatever its size.
	maxReportBytes = 64 << 20
	// handOverWithin is how long an agent that is stopped waits for its reports to be fetched. It must be over before
	// the pod's time to end is, which the chart sets to 15 s; the controller asks every 2 s in rounds of 200 agents.
	handOverWithin = 10 * time.Second
)

// measurement is a round's load. Run is called once, Paths at any time.
type measurement interface {
	Run(ctx context.Context) (complete bool)
	Paths() []report.Path
	// Grid reports whether the load was too high for a wake-up per event; see report.Observer.
	Grid() bool
}

// watch passes on what the agent used and how well it could observe, time and again, until the context ends.
type watch func(ctx context.Context, update func(report.Resources, report.Observer))

// answerer is the agent's responder. It counts the requests of every round, and answers them as the round's plan says.
type answerer interface {
	Served(round string) uint64
	SetOptions(round string, options echo.Options) error
	Forget(round string)
}

// Errors of start, which the control server turns into codes.
var (
	errNewer   = errors.New("a newer round of the task is known")
	errStopped = errors.New("the round was stopped before it began")
	errFull    = errors.New("as many rounds are running as this agent may run at once")
	errEnding  = errors.New("the agent is shutting down")
)

// rounds runs the rounds of this agent and keeps their reports. close ends them all and waits for them.
type rounds struct {
	identity echo.Identity
	answers  answerer
	measure  func(mesh.Plan) measurement
	watch    watch
	// idling knows when something is measured.
	idling  *idling
	log     *slog.Logger
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	known  map[schedule.Key]*round
	// refused are rounds that were stopped before they began. A plan that arrives after its stop must not start one.
	refused []schedule.Key
}

// start begins the plan's round unless it is known already. Older rounds of the same task are stopped first.
func (s *rounds) start(plan mesh.Plan) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[plan.Key]; ok {
		return true, nil
	}
	if s.closed {
		return false, errEnding
	}
	if slices.Contains(s.refused, plan.Key) {
		return false, errStopped
	}
	var older []*round
	for key, other := range s.known {
		if key.UID != plan.Key.UID {
			continue
		}
		if newer(key, plan.Key) {
			return false, errNewer
		}
		older = append(older, other)
	}
	if !s.makeRoom(time.Now()) {
		return false, errFull
	}
	if plan.Answer != (mesh.Answer{}) {
		if err := s.answers.SetOptions(plan.Key.String(), echo.Options(plan.Answer)); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), plan.Limit)
	r := &round{key: plan.Key, plan: plan, identity: s.identity, load: s.measure(plan), started: time.Now(),
		cancel: cancel,
		watch:  s.watch, done: make(chan struct{}), fetched: make(chan struct{})}
	s.known[plan.Key] = r
	for _, o := range older {
		o.cancel()
	}
	s.running.Go(func() {
		s.idling.begin()
		defer s.idling.end()
		defer cancel()
		for _, o := range older {
			<-o.done
		}
		s.log.Info("round starts", "round", plan.Key.String(), "kind", plan.Task.Kind, "task", plan.Task.Name,
			"targets", len(plan.Targets),
			"qps", plan.Load.PerSecond, "everySeconds", max(plan.Load.Every, 1), "duration", plan.Load.Duration,
			"limit", plan.Limit)
		r.run(ctx)
		s.log.Info("round ends", "round", plan.Key.String(), "finished", r.finished(), "after", time.Since(r.started))
	})
	return false, nil
}

// newer reports whether a comes after b; both are rounds of the same task.
func newer(a, b schedule.Key) bool {
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Round, b.Round)) > 0
}

// makeRoom drops ended rounds beyond the bounds, and reports whether there is room for one more round.
func (s *rounds) makeRoom(now time.Time) bool {
	var ended []*round
	for key, r := range s.known {
		at, _, over := r.remembered()
		switch {
		case over && now.Sub(at) > remember:
			s.drop(key)
		case over:
			ended = append(ended, r)
		}
	}
	// The newest rounds stay, as far as their reports fit.
	slices.SortFunc(ended, func(a, b *round) int { return b.ended.Compare(a.ended) })
	bytes := 0
	for i, r := range ended {
		_, size, _ := r.remembered()
		if bytes += size; bytes > maxReportBytes && i > 0 {
			s.drop(r.key)
		}
	}
	for i := len(ended) - 1; i >= 0 && len(s.known) >= maxRounds; i-- {
		s.drop(ended[i].key)
	}
	return len(s.known) < maxRounds
}

// drop forgets a round, its report and how its requests are answered.
func (s *rounds) drop(key schedule.Key) {
	delete(s.known, key)
	s.answers.Forget(key.String())
}

// report returns the round's report of this moment, with or without paths and sums; ok is false for a round that this
// agent does not know.
func (s *rounds) report(key schedule.Key, stateOnly bool) (m *agentv1.AgentReport, ok bool, err error) {
	s.mu.Lock()
	r, ok := s.known[key]
	s.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	m, err = r.report(stateOnly)
	if err != nil {
		return nil, true, err
	}
	m.Release = version.Release()
	if !stateOnly && m.GetEnded() != nil {
		r.handedOver()
	}
	// Other agents may send for a moment after this one has ended, so Served is read when the report is asked for.
	m.Served, m.ServedPersistent = s.answers.Served(key.String()), s.answers.Served(key.String()+echo.PersistentSuffix)
	return m, true, nil
}

// stop ends the round and waits until it sends nothing more, or until the context ends.
func (s *rounds) stop(ctx context.Context, key schedule.Key) error {
	s.mu.Lock()
	r, ok := s.known[key]
	if !ok && !slices.Contains(s.refused, key) {
		s.refused = append(s.refused[max(0, len(s.refused)-maxRounds+1):], key)
	}
	s.mu.Unlock()
	if !ok {
		return nil
	}
	r.cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handOver waits until the reports of all rounds that ended lately were fetched, or until the context ends: what was
// measured before the agent was stopped is worth having.
func (s *rounds) handOver(ctx context.Context) {
	s.mu.Lock()
	var waiting []*round
	for _, r := range s.known {
		if ended, _, over := r.remembered(); over && time.Since(ended) < handOverWithin {
			waiting = append(waiting, r)
		}
	}
	s.mu.Unlock()
	for _, r := range waiting {
		select {
		case <-r.fetched:
		case <-ctx.Done():
			return
		}
	}
}

// close stops all rounds, lets no new one begin, and waits for them.
func (s *rounds) close() {
	s.mu.Lock()
	s.closed = true
	for _, r := range s.known {
		r.cancel()
	}
	s.mu.Unlock()
	s.idling.close()
	s.running.Wait()
}
