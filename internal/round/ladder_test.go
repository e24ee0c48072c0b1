package round

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// script answers for all agents: fails says how often, of n, the probe of an agent fails in the call of the number.
type script struct {
	fails func(agent string, spec ladder.Spec, call int) uint64

	mu    sync.Mutex
	calls map[string]int
	specs map[string][]int
}

func (s *script) Probe(_ context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[agent.Pod]++
	s.specs[agent.Pod] = append(s.specs[agent.Pod], len(specs))
	if agent.Pod == "away" {
		return nil, errors.New("no answer")
	}
	results := make([]ladder.Result, len(specs))
	for i, spec := range specs {
		n := uint64(spec.Count)
		failed := s.fails(agent.Pod, spec, s.calls[agent.Pod])
		results[i].Sent, results[i].Answered = n, n-failed
		if failed > 0 {
			results[i].Failures = map[ladder.Failure]uint64{ladder.NoAnswer: failed}
		}
	}
	return results, nil
}

func probeOf(to string) ladder.Probe {
	return ladder.Probe{Spec: ladder.Spec{Method: ladder.UDP, Count: 1, Peer: to},
		Of: ladder.Observation{Rung: ladder.PodToPod, To: to}}
}

// climbed runs the ladder of two agents, one of which is away, and returns what was seen.
func climbed(t *testing.T, fails func(string, ladder.Spec, int) uint64) ([]ladder.Observation, *script) {
	t.Helper()
	s := &script{fails: fails, calls: map[string]int{}, specs: map[string][]int{}}
	var seen []ladder.Observation
	synctest.Test(t, func(t *testing.T) {
		c := &climb{prober: s, load: 10 * time.Second, slots: make(chan struct{}, 4), senders: []ladder.Sender{
			{Agent: topology.Agent{Pod: "a"}, Probes: []ladder.Probe{probeOf("b"), probeOf("c")}},
			{Agent: topology.Agent{Pod: "away"}, Probes: []ladder.Probe{probeOf("a")}},
		}}
		c.run(t.Context())
		c.follow(t.Context())
		seen = c.observations()
	})
	return seen, s
}

func TestWhatFailedIsProbedAgain(t *testing.T) {
	seen, s := climbed(t, func(_ string, spec ladder.Spec, _ int) uint64 {
		if spec.Peer == "c" {
			return uint64(spec.Count)
		}
		return 0
	})
	lost := uint64(ladderPasses + followCount())
	want := []ladder.Observation{
		{Rung: ladder.PodToPod, To: "b", Passes: ladderPasses, Counts: ladder.Counts{Sent: ladderPasses,
			Answered: ladderPasses}},
		{Rung: ladder.PodToPod, To: "c", Passes: ladderPasses + 2, FailedPasses: ladderPasses + 2,
			Counts: ladder.Counts{Sent: lost, Failures: map[ladder.Failure]uint64{ladder.NoAnswer: lost}}},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2, 2, 1, 1}, s.specs["a"]); diff != "" {
		t.Errorf("probes by call (-want +got):\n%s", diff)
	}
	if s.calls["away"] != ladderPasses {
		t.Errorf("the agent without an answer was asked %d times, want %d", s.calls["away"], ladderPasses)
	}
}

func TestAMomentThatIsOverFailedInOnePassAlone(t *testing.T) {
	seen, _ := climbed(t, func(_ string, _ ladder.Spec, call int) uint64 {
		if call == 1 {
			return 1
		}
		return 0
	})
	for _, o := range seen {
		if o.FailedPasses != 1 || o.Passes != ladderPasses+2 || o.Answered != uint64(ladderPasses-1+followCount()) {
			t.Errorf("%+v; want one failure in the first of %d passes", o, ladderPasses+2)
		}
	}
}

func TestWithoutFailuresNothingIsProbedAgain(t *testing.T) {
	_, s := climbed(t, func(string, ladder.Spec, int) uint64 { return 0 })
	if s.calls["a"] != ladderPasses {
		t.Errorf("%d calls, want %d", s.calls["a"], ladderPasses)
	}
}
