package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/bench/internal/diagnose/packets"
	"kdoctor.io/kdoctor/bench/internal/diagnose/paths"
	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/score"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
)

// Generator draws faults.
type Generator interface {
	Name() string
	// Draw returns count faults.
	Draw(w *world.World, count int, severity round.Severity, random *rand.Rand) []round.Fault
	// GentleTCP reports whether lost segments of connections are sent again.
	GentleTCP() bool
}

func generator(name string) (Generator, error) {
	for _, g := range []Generator{paths.Generator{}, packets.Generator{}} {
		if g.Name() == name {
			return g, nil
		}
	}
	return nil, fmt.Errorf("the generator is %q and must be paths or packets", name)
}

// mostDraws is how often faults are drawn anew for a trial until each leaves enough evidence.
const mostDraws = 1000

// Score is what one method reached in a row.
type Score struct {
	Method string
	score.Tally
	// Mean and Worst are seconds of CPU of a search.
	Mean, Worst float64
}

// Result is a row with its scores.
type Result struct {
	Spec Spec
	// Done is how many trials there were until the limit.
	Done   int
	Scores []Score
	// GaveUp says after how many seconds of CPU time the row was ended in the midst of a trial; 0 says that it was not.
	GaveUp float64
	// LeftOut is how many draws of faults were left out since one of them lay behind another or left too little
	// evidence.
	LeftOut int
	// Observations and Probes are how many a round had, on average.
	Observations, Probes float64
	// Peak is the largest resident memory of the process, in bytes; 0 if the kernel does not tell.
	Peak uint64
}

// Options are how a row is simulated.
type Options struct {
	// Begin is after how much time of CPU no trial begins, End after how much the process is ended whatever it does, in
	// whole seconds; 0 is never.
	Begin, End time.Duration
	// Watch is told of each trial, what the first method reported of it, and what that was worth.
	Watch func(seed uint64, trial *round.Trial, reports []infer.Fault, o score.Outcome)
	// Each gets the result so far after each trial.
	Each func(Result) error
}

// Run simulates a row on one core.
func Run(ctx context.Context, s Spec, o Options) (Result, error) {
	result := Result{Spec: s}
	if err := s.Validate(); err != nil {
		return result, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var methods []Localiser
	for _, name := range s.Methods {
		m, err := localiser(name, s.Severity)
		if err != nil {
			return result, err
		}
		methods = append(methods, m)
		result.Scores = append(result.Scores, Score{Method: name})
	}
	if err := endAfter(o.End); err != nil {
		return result, err
	}
	for result.Done < s.Trials && (o.Begin == 0 || used() < o.Begin) {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		if err := result.trial(methods, o); err != nil {
			return result, err
		}
		if o.Each == nil {
			continue
		}
		if err := o.Each(result); err != nil {
			return result, err
		}
	}
	return result, nil
}

// trial adds one trial.
func (r *Result) trial(methods []Localiser, o Options) error {
	seed := r.Spec.Seed + uint64(r.Done) // #nosec G115 -- a positive count
	trial, left, err := draw(r.Spec, seed)
	if err != nil {
		return err
	}
	r.Done++
	r.LeftOut += left
	r.count(trial)
	for k, m := range methods {
		score := &r.Scores[k]
		reports, took := search(m, trial.Input, r.Spec.Nodes)
		outcome := score.Add(trial, reports)
		score.Mean += (took - score.Mean) / float64(r.Done)
		score.Worst = max(score.Worst, took)
		if k == 0 && o.Watch != nil {
			o.Watch(seed, trial, reports, outcome)
		}
	}
	r.Peak = peak()
	return nil
}

func (r *Result) count(t *round.Trial) {
	probes := uint64(0)
	for i := range t.Input.Observations {
		probes += t.Input.Observations[i].Sent
	}
	r.Observations += (float64(len(t.Input.Observations)) - r.Observations) / float64(r.Done)
	r.Probes += (float64(probes) - r.Probes) / float64(r.Done)
}

// draw plays rounds until every fault can be seen in one, and returns how many were left out.
func draw(s Spec, seed uint64) (*round.Trial, int, error) {
	g, err := generator(s.Generator)
	if err != nil {
		return nil, 0, err
	}
	w := world.New(world.Config{Nodes: s.Nodes, Zones: s.Zones, WithoutHosts: s.WithoutHosts, Seed: seed})
	for try := range mostDraws {
		random := rand.New(rand.NewPCG(seed, uint64(try))) // #nosec G115 G404 -- a simulation, no secret
		faults := g.Draw(w, s.Faults, s.Severity, random)
		trial := round.Play(w, faults, s.conditions(g.GentleTCP()), 0, random)
		if trial.Seen(s.Severity == round.Faint) {
			return trial, try, nil
		}
	}
	return nil, 0, errors.New("no faults could be drawn that can all be seen")
}

// large is from how many nodes on garbage of the simulation is collected before a search is timed.
const large = 1000

// search returns the reports of a method, and its seconds of CPU.
func search(m Localiser, in infer.Input, nodes int) ([]infer.Fault, float64) {
	if nodes >= large {
		runtime.GC()
	}
	before := used()
	reports := m.Find(in)
	return reports, (used() - before).Seconds()
}

// endAfter lets the kernel end the process when it has used so much CPU time; 0 is never.
func endAfter(limit time.Duration) error {
	if limit <= 0 {
		return nil
	}
	seconds := uint64(limit / time.Second) // #nosec G115 -- above 0
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds}); err != nil {
		return fmt.Errorf("limit the CPU time: %w", err)
	}
	return nil
}

// used is the CPU time of the process.
func used() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the largest resident memory of the process since it began.
func peak() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	kilobytes, err := strconv.ParseUint(string(found[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
