package round_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// diary writes down when which call was made, counted from its beginning. What is called keeps its habits.
type diary struct {
	agents  *agents
	cluster round.Snapshots
	// takes is how long each call to an agent takes.
	takes time.Duration
	began time.Time

	mu sync.Mutex
	// calls are by pod; those to the cluster are under the empty name.
	calls map[string][]string
	// dead is how many calls were made with a context that was over, most is how many calls to agents were under way at
	// once.
	dead, underWay, most int
}

func newDiary(cluster round.Snapshots, agents *agents) *diary {
	return &diary{agents: agents, cluster: cluster, began: time.Now(), calls: map[string][]string{}}
}

func (d *diary) conductor(m *memory) *round.Conductor {
	return round.New(round.Config{Snapshots: d, Agents: d, Plans: m, Rounds: m, Unknown: errUnknown})
}

func (d *diary) note(ctx context.Context, pod, what string) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[pod] = append(d.calls[pod], fmt.Sprintf("%s %v", what, time.Since(d.began)))
	if ctx.Err() != nil {
		d.dead++
	}
	if pod == "" {
		return func() {}
	}
	d.underWay++
	d.most = max(d.most, d.underWay)
	return func() {
		if d.takes > 0 {
			time.Sleep(d.takes)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.underWay--
	}
}

func (d *diary) Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error {
	defer d.note(ctx, agent.Pod, "start")()
	return d.agents.Start(ctx, agent, plan)
}

func (d *diary) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	defer d.note(ctx, agent.Pod, "fetch")()
	return d.agents.Fetch(ctx, agent, key)
}

func (d *diary) State(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	defer d.note(ctx, agent.Pod, "state")()
	return d.agents.State(ctx, agent, key)
}

func (d *diary) Stop(ctx context.Context, agent topology.Agent, key schedule.Key) error {
	defer d.note(ctx, agent.Pod, "stop")()
	return d.agents.Stop(ctx, agent, key)
}

// Release is no call to the agent.
func (d *diary) Release(agent topology.Agent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[agent.Pod] = append(d.calls[agent.Pod], fmt.Sprintf("release %v", time.Since(d.began)))
}

func (d *diary) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	d.note(ctx, "", "look")()
	return d.cluster.Snapshot(ctx, of)
}

// of returns the calls to the pod; the empty name is the cluster.
func (d *diary) of(pod string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls[pod])
}

// every lists the moments from first to last in steps.
func every(what string, first, last, step time.Duration) []string {
	var all []string
	for at := first; at <= last; at += step {
		all = append(all, fmt.Sprintf("%s %v", what, at))
	}
	return all
}

func TestWhenAnAgentIsAsked(t *testing.T) {
	const second, tenth = time.Second, 100 * time.Millisecond
	start := []string{"start 0s"}
	cases := []struct {
		name     string
		habit    habit
		deadline time.Duration
		want     []string
		// ends is when the round is over.
		ends time.Duration
	}{
		{"an agent is asked every 2 s, soon after its load of 11 s, and once more when all are done", habit{},
			time.Minute,
			slices.Concat(start, every("state", 2*second, 10*second, 2*second), []string{"state 11.2s", "fetch 11.2s", "state 11.2s"}),
			112 * tenth},
		{"one that is not done after its load is asked twice a second, until a tenth of the round is left, and stopped",
			habit{endless: true}, 15 * second,
			slices.Concat(start, every("state", 2*second, 10*second, 2*second),
				every("state", 112*tenth, 132*tenth, 5*tenth),
				[]string{"fetch 13.5s", "stop 13.5s"}), 135 * tenth},
		{"and in a longer round until 2 s are left", habit{endless: true}, 21 * second,
			slices.Concat(start, every("state", 2*second, 10*second, 2*second),
				every("state", 112*tenth, 187*tenth, 5*tenth),
				[]string{"fetch 19s", "stop 19s"}), 19 * second},
		{"one that falls silent is given up 15 s after its last request could have ended", habit{goneAfter: 5 * second},
			time.Minute,
			slices.Concat(start, every("state", 2*second, 10*second, 2*second),
				every("state", 112*tenth, 272*tenth, 5*tenth),
				[]string{"fetch 27.2s"}), 272 * tenth},
		{"one that falls silent later is given up 15 s after it last answered",
			habit{endless: true, goneAfter: 20 * second}, time.Minute,
			slices.Concat(start, every("state", 2*second, 10*second, 2*second),
				every("state", 112*tenth, 352*tenth, 5*tenth),
				[]string{"fetch 35.2s"}), 352 * tenth},
		{"one that cannot be started is tried for 15 s and then told to stop", habit{refuses: true}, time.Minute,
			append(every("start", 0, 15*second, second), "stop 15s"), 15 * second},
		{"one that cannot be started is tried no longer than the round lasts", habit{refuses: true},
			9500 * time.Millisecond,
			every("start", 0, 8*second, second), 8550 * time.Millisecond},
		{"one that starts late is asked by its own time", habit{refusesFor: 5 * second}, time.Minute,
			slices.Concat(every("start", 0, 5*second, second), every("state", 7*second, 15*second, 2*second),
				[]string{"state 16.2s", "fetch 16.2s", "state 16.2s"}), 162 * tenth},
		{"one that does not answer is waited for 30 s, and 2 s more to be told to stop", habit{mute: true},
			5 * time.Minute,
			[]string{"start 0s", "stop 30s"}, 32 * second},
		{"one that no longer answers at the end is waited for until the deadline", habit{muteAfter: 5 * second},
			30 * second,
			slices.Concat(start, every("state", 2*second, 6*second, 2*second), []string{"fetch 28s"}), 30 * second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary(pods("a"), newAgents(map[string]habit{"a": c.habit}))
				req := request(c.deadline)
				req.Want.Load.Duration = 11 * second
				got, err := d.conductor(newMemory()).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, d.of("a")); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if ended := got.Round.Ended.Sub(d.began); ended != c.ends {
					t.Errorf("the round ended after %v, want %v", ended, c.ends)
				}
				if d.dead > 0 {
					t.Errorf("%d calls could not have been answered", d.dead)
				}
			})
		})
	}
}

// quiet are agents that answer without any measurements, so that many of them cost little.
type quiet struct{ *diary }

func (q quiet) Start(ctx context.Context, agent topology.Agent, _ mesh.Plan) error {
	q.note(ctx, agent.Pod, "start")()
	return nil
}

func (q quiet) Fetch(ctx context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	defer q.note(ctx, agent.Pod, "fetch")()
	return q.report(agent), nil
}

func (q quiet) State(ctx context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	defer q.note(ctx, agent.Pod, "state")()
	return q.report(agent), nil
}

func (q quiet) report(agent topology.Agent) report.AgentReport {
	r := report.AgentReport{Pod: agent.Pod, Node: agent.Node, Started: q.began}
	if time.Since(q.began) > 10*time.Second {
		r.Finished, r.Ended = true, q.began.Add(10*time.Second)
	}
	return r
}

func TestManyAgentsAreAskedLessOftenAndNotAllAtOnce(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("pod-%d", i))
	}
	for _, c := range []struct {
		name           string
		agents, at, of int
		want           []string
	}{
		{"200 agents are asked every 2 s, over connections that stay", 200, 0, 200,
			append(every("state", 2*time.Second, 10*time.Second, 2*time.Second), "fetch 10s", "state 10s")},
		{"300 agents are asked every 3 s, 256 at a time, and their connections are given up at the end", 300, 0, 256,
			append(every("state", 3*time.Second, 9*time.Second, 3*time.Second), "state 10.2s", "fetch 10.2s", "state 10.2s",
				"release 10.2s")},
		{"three agents are asked one at a time where one is allowed", 3, 1, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, m, req := newDiary(pods(names[:c.agents]...), newAgents(nil)), newMemory(), request(time.Minute)
				req.Want.Kinds = nil
				// Calls that overlap, and are over before the next moment that counts.
				d.takes = time.Nanosecond
				got, err := round.New(round.Config{Snapshots: d, Agents: quiet{d}, Plans: m, Rounds: m,
					Unknown: errUnknown, Parallel: c.at}).
					Run(t.Context(), req)
				if err != nil || len(got.Round.Agents) != c.agents {
					t.Fatalf("%d agents reported, %v", len(got.Round.Agents), err)
				}
				if d.most != c.of {
					t.Errorf("%d calls were under way at once, want %d", d.most, c.of)
				}
				if first := d.of("pod-0"); c.want != nil {
					if diff := cmp.Diff(c.want, rounded(first[1:])); diff != "" {
						t.Errorf("calls to the first agent (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// rounded takes the nanoseconds away that calls before it took.
func rounded(calls []string) []string {
	var all []string
	for _, c := range calls {
		var what, at string
		if _, err := fmt.Sscan(c, &what, &at); err != nil {
			panic(err)
		}
		d, err := time.ParseDuration(at)
		if err != nil {
			panic(err)
		}
		all = append(all, fmt.Sprintf("%s %v", what, d.Round(time.Millisecond)))
	}
	return all
}

// slow is a cluster that takes a while to read, or, from a moment on, as long as one waits.
type slow struct {
	cluster
	takes time.Duration
	hangs time.Time
	// lingers is how long it goes on when nobody waits any more.
	lingers time.Duration
}

func (s slow) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	if of.Name != "agents" {
		return topology.Snapshot{}, fmt.Errorf("there is no workload %v", of)
	}
	if !s.hangs.IsZero() && !time.Now().Before(s.hangs) {
		<-ctx.Done()
		time.Sleep(s.lingers)
		return topology.Snapshot{}, ctx.Err()
	}
	time.Sleep(s.takes)
	return s.cluster.Snapshot(ctx, of)
}

func TestWhenTheClusterIsLookedAt(t *testing.T) {
	const second = time.Second
	cases := []struct {
		name               string
		takes, hangs       time.Duration
		lingers            time.Duration
		duration, deadline time.Duration
		habits             map[string]habit
		want               []string
		ends               time.Duration
	}{
		{name: "it is looked at every 10 s, and once more at the end", duration: 35 * second, deadline: time.Minute,
			want: []string{"look 0s", "look 10s", "look 20s", "look 30s", "look 35.2s"},
			ends: 35200 * time.Millisecond},
		{name: "a cluster that takes a second to read is looked at as often", takes: second, duration: 35 * second,
			deadline: time.Minute,
			want:     []string{"look 0s", "look 11s", "look 22s", "look 33s", "look 36.2s"},
			ends:     37200 * time.Millisecond},
		{name: "a cluster that takes 2 s to read is looked at every 20 s", takes: 2 * second, duration: 45 * second,
			deadline: time.Minute,
			want:     []string{"look 0s", "look 12s", "look 34s", "look 47.2s"}, ends: 49200 * time.Millisecond},
		{name: "a look is given up after 10 s, the last one too", hangs: second, duration: 30 * second,
			deadline: 2 * time.Minute,
			want:     []string{"look 0s", "look 10s", "look 30s"}, ends: 40 * second},
		{name: "the last look ends by the deadline", hangs: second, duration: 4 * second, deadline: 12 * second,
			want: []string{"look 0s", "look 4s"}, ends: 12 * second},
		{name: "but has a second at least", hangs: second, duration: 4 * second, deadline: 7 * second,
			habits: map[string]habit{"a": {muteAfter: 3 * second}}, want: []string{"look 0s", "look 7s"},
			ends: 8 * second},
		{name: "no look is left behind", hangs: second, lingers: 3 * second, duration: 15 * second,
			deadline: time.Minute,
			want:     []string{"look 0s", "look 10s", "look 18.2s"}, ends: 31200 * time.Millisecond},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				of := slow{cluster: pods("a"), takes: c.takes, lingers: c.lingers}
				if c.hangs > 0 {
					of.hangs = time.Now().Add(c.hangs)
				}
				d, req := newDiary(of, newAgents(c.habits)), request(c.deadline)
				req.Workload = topology.Workload{Name: "agents"}
				req.Want.Load.Duration = c.duration
				got, err := d.conductor(newMemory()).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, d.of("")); diff != "" {
					t.Errorf("looks (-want +got):\n%s", diff)
				}
				if ended := got.Round.Ended.Sub(d.began); ended != c.ends {
					t.Errorf("the round ended after %v, want %v", ended, c.ends)
				}
			})
		})
	}
}

func TestWhyAReportIsMissing(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name     string
		habit    habit
		deadline time.Duration
		// answered is how long after the start the agent last answered; it was ready when the round was planned.
		answered time.Duration
		want     string
	}{
		{"another agent answers at its address", habit{poses: "b"}, time.Minute, 0,
			"no answer: agent b answered in its place"},
		{"the last of several errors is the reason", habit{muteAfter: 5 * second, goneAfter: second}, time.Minute, 0,
			"no answer: context deadline exceeded"},
		{"an answer that the end of the round cut off is not", habit{goneAfter: 5 * second, muteAfter: 15 * second},
			20 * second, 4 * second,
			"no answer: no route to host"},
		{"unless it is all there is", habit{muteAfter: 17 * second, endless: true}, 20 * second,
			16700 * time.Millisecond, "no answer: context deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := conductor(pods("a"), newAgents(map[string]habit{"a": c.habit}),
					newMemory()).Run(t.Context(), request(c.deadline))
				if err != nil {
					t.Fatal(err)
				}
				want := []report.Missing{{Pod: "a", Node: "node-a", Reason: c.want,
					LastAnswered: got.Round.Started.Add(c.answered)}}
				if diff := cmp.Diff(want, got.Round.Missing); diff != "" {
					t.Errorf("missing (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAnAgentThatIsStillAtItWhenTheRoundEndsHasNotFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newAgents(map[string]habit{"a": {endless: true, boasts: true}})
		got, err := conductor(pods("a"), network, newMemory()).Run(t.Context(), request(time.Minute))
		if err != nil || len(got.Round.Agents) != 1 || got.Round.Agents[0].Finished {
			t.Errorf("%+v, %v; want a report that is not finished", got.Round.Agents, err)
		}
		if !slices.Equal(network.stopped, []string{"a"}) {
			t.Errorf("stopped are %q, want a", network.stopped)
		}
	})
}

func TestARestartAfterTheLastRegularLookIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at = 12 * time.Second
		req := request(time.Minute)
		req.Want.Load.Duration = 15 * time.Second
		h := history{began: time.Now(), moments: []moment{{at, ranOut(at)}}}
		lost := habit{lost: map[string]time.Duration{"b": at}}
		got, err := conductor(h, newAgents(map[string]habit{"a": lost, "b": {forgetAfter: at}, "c": lost}),
			newMemory()).Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got.Verdict.Result != verdict.Pass || len(got.Round.Churn) != 1 || len(got.Round.Missing) != 1 ||
			!got.Round.Missing[0].Excused {
			t.Errorf("%s: churn %+v, missing %+v; want the restart to explain the report of b", got.Verdict.Result,
				got.Round.Churn, got.Round.Missing)
		}
	})
}
