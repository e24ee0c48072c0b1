package part

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/peer"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/study"
)

func TestEveryGoalIsAboutContestantsOfItsPart(t *testing.T) {
	names := map[string]bool{}
	goals := map[string]bool{}
	for _, p := range All(time.Second) {
		if names[p.Name] {
			t.Errorf("two parts are called %s", p.Name)
		}
		names[p.Name] = true
		in := func(name string) bool {
			return slices.ContainsFunc(p.Contestants, func(c Contestant) bool { return c.Name == name })
		}
		for _, g := range p.Goals {
			goals[g.Name] = true
			if g.Part != p.Name || !in(g.Of) {
				t.Errorf("%s: goal %q of %s in part %s", p.Name, g.What, g.Of, g.Part)
			}
			for _, to := range g.To {
				if !in(to) {
					t.Errorf("%s: goal %q is held against %s, which takes no part", p.Name, g.What, to)
				}
			}
		}
	}
	for _, want := range []string{"G1", "G2", "G6", "G7", "G8", "G9", "G10", "G11", "G12", "G13", "G14", "G15",
		"responder"} {
		if !goals[want] {
			t.Errorf("no part has goal %s", want)
		}
	}
}

func TestLoadsInWhichTooMuchFailedHaveNoFigures(t *testing.T) {
	for _, c := range []struct {
		name string
		load message.Load
		bad  bool
	}{
		{"all went well", message.Load{Scheduled: 1000, Sent: 1000, OK: 1000}, false},
		{"one of a hundred failed", message.Load{Scheduled: 1000, Sent: 1000, OK: 990}, false},
		{"more failed", message.Load{Scheduled: 1000, Sent: 1000, OK: 989}, true},
		{"what was missed has not failed", message.Load{Scheduled: 1000, Sent: 10, Missed: 990, OK: 10}, false},
	} {
		if _, err := loadValues(c.load); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := peerValues(peer.Result{Requests: 100, Failed: 2}); err == nil {
		t.Error("a peer of whose requests two of a hundred failed has figures")
	}
}

func TestFiguresOfALoad(t *testing.T) {
	got, err := loadValues(message.Load{Scheduled: 100, Sent: 80, Missed: 19, OK: 80, Kernel: 40,
		Response: message.Quantiles{P99: 0.001}})
	if err != nil {
		t.Fatal(err)
	}
	derive(got, rig.Passed{Finished: rig.Finished{CPU: 0.5, Beside: 1}, Server: 1})
	for name, want := range map[string]float64{
		"delivered %": 80, "unaccounted": 1, "timed by kernel %": 50, "response p99 us": 1000,
		"requests/client CPU s": 160, "client CPU us/request": 6250, "requests/server CPU s": 40,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestReportedStallsAreHeldAgainstTheTruth(t *testing.T) {
	v := Values{"response p90 us": 230_000, "response p99 us": 9_200}
	truths(v)
	near := func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 }
	if !near(v["p90 off by %"], 15) || !near(v["p99 off by %"], 99) || !near(v["p99 ms"], 9.2) {
		t.Errorf("got %v", v)
	}
	if _, ok := v["p95 off by %"]; ok {
		t.Error("a quantile that was not reported is judged")
	}
}

// scripted is a contestant without a process.
func scripted(name string, err error) Contestant {
	return Contestant{Name: name, Run: func(context.Context, Programs) (rig.Finished, Values, error) {
		return rig.Finished{CPU: 1}, Values{"requests": 10}, err
	}}
}

func TestEveryContestantRunsOnceInEachRoundAndFailuresAreTold(t *testing.T) {
	broken := errors.New("no")
	p := Part{Name: "p", MostRounds: 3,
		Contestants: []Contestant{scripted("a", nil), scripted("b", nil), scripted("c", broken)}}
	var records []study.Record
	var failed []string
	r := Runner{Gate: rig.Gate{Limit: 1000}, Rounds: 9, Random: rand.New(rand.NewPCG(1, 1)), Dir: t.TempDir(),
		Progress: func(Part, int, int, string) {},
		Record:   func(r study.Record) error { records = append(records, r); return nil },
		Failed:   func(_ Part, contestant string, _ error) { failed = append(failed, contestant) }}
	if err := r.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range records {
		seen[r.Contestant]++
		if r.Values["requests/client CPU s"] != 10 {
			t.Errorf("figures %v", r.Values)
		}
	}
	if diff := cmp.Diff(map[string]int{"a": 3, "b": 3}, seen); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(failed, []string{"c", "c", "c"}) {
		t.Errorf("failed %v", failed)
	}
}

func TestPeersThatAreMissingTakeNoPart(t *testing.T) {
	p := Available(All(time.Second)[0], Programs{Peers: map[string]string{"wrk": "/wrk"}})
	var names []string
	for _, c := range p.Contestants {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"engine", "engine-plain", "wrk"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsPreparedIsTakenAwayHoweverThePartEnds(t *testing.T) {
	broken := errors.New("no")
	for _, c := range []struct {
		name string
		// cancelled ends the context in the first run, unready is the error of Prepare, away that of what it returned.
		cancelled     bool
		unready, away error
		done          int
		want          error
	}{
		{"after all runs", false, nil, nil, 1, nil},
		{"when the context ends in a run", true, nil, nil, 1, context.Canceled},
		{"and what cannot be taken away is told", false, nil, broken, 1, broken},
		{"but not what was never there", false, broken, nil, 0, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done, runs := 0, 0
			p := Part{Name: "p", Shared: true,
				Prepare: func(context.Context, Programs) (func(context.Context) error, error) {
					return func(ctx context.Context) error {
						if done++; ctx.Err() != nil {
							t.Error("there is no time left to take it away")
						}
						return c.away
					}, c.unready
				}, Contestants: []Contestant{{Name: "a",
					Run: func(context.Context, Programs) (rig.Finished, Values, error) {
						if runs++; c.cancelled {
							cancel()
						}
						return rig.Finished{}, Values{"v": 1}, nil
					}}}}
			// Nobody's CPU time is below that limit: a run counts only because the part may share the machine.
			r := Runner{Gate: rig.Gate{Limit: -1, Idle: 1}, Rounds: 1, Random: rand.New(rand.NewPCG(1, 1)),
				Dir:      t.TempDir(),
				Progress: func(Part, int, int, string) {}, Record: func(study.Record) error { return nil },
				Failed: func(_ Part, _ string, err error) { t.Error(err) }}
			err := r.Run(ctx, p)
			var unready *UnreadyError
			if !errors.Is(err, c.want) || errors.As(err, &unready) != (c.unready != nil) || done != c.done ||
				runs != c.done {
				t.Errorf("error %v, taken away %d times, %d runs; want %v and %d", err, done, runs, c.want, c.done)
			}
		})
	}
}
