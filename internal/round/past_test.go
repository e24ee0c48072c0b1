package round_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// prompt answers all probes, those of an agent's own address in 300 µs and all others after a time.
type prompt struct{ others time.Duration }

func (p prompt) Probe(_ context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error) {
	results := make([]ladder.Result, len(specs))
	for i, spec := range specs {
		took := p.others
		if spec.Peer == agent.Pod {
			took = 300 * time.Microsecond
		}
		n := uint64(spec.Count)
		results[i].Counts = ladder.Counts{Sent: n, Answered: n, Mean: took, Max: took}
	}
	return results, nil
}

// withHosts is a cluster with agents in the host networks too.
type withHosts struct{ cluster }

func (c withHosts) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	s, err := c.cluster.Snapshot(ctx, of)
	for i, a := range s.Agents {
		s.Hosts = append(s.Hosts, topology.Agent{Pod: "host-" + a.Pod, Node: a.Node, HTTPPort: 5780,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)})}})
	}
	return s, err
}

// restarted runs a round with a conductor and a store of its own, as a controller does that was just started.
func restarted(t *testing.T, dir string, number int64, others time.Duration,
	past func(*store.Store) func(context.Context, schedule.Key) diagnose.Past) verdict.StoredRound {
	t.Helper()
	kept, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	}()
	var stored verdict.StoredRound
	var recorded []diagnose.Recording
	record := func(r diagnose.Recording) { recorded = append(recorded, r) }
	synctest.Test(t, func(t *testing.T) {
		req := request(time.Minute)
		req.Key.Round, req.Ladder = number, true
		stored, err = round.New(round.Config{Snapshots: withHosts{pods("a", "b")}, Agents: newAgents(nil), Plans: kept,
			Rounds: kept, Unknown: errUnknown, Ladder: prompt{others}, Past: past(kept),
			Record: record}).Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
	})
	// What is recorded makes the same findings.
	if len(recorded) != 1 {
		t.Fatalf("%d rounds are recorded, want 1", len(recorded))
	}
	spent, located := recorded[0].Locate()
	if diff := cmp.Diff(stored.Round.Located, located); diff != "" || spent.Sent != stored.Round.Ladder.Sent {
		t.Errorf("%d probes, want %d; findings made again (-stored +again):\n%s", spent.Sent, stored.Round.Ladder.Sent,
			diff)
	}
	return stored
}

func TestARoundIsComparedWithThePastAfterARestart(t *testing.T) {
	fromStore := func(s *store.Store) func(context.Context, schedule.Key) diagnose.Past {
		return func(ctx context.Context, key schedule.Key) diagnose.Past {
			past, err := s.Past(ctx, key, 10)
			if err != nil {
				t.Error(err)
			}
			return past
		}
	}
	dir := t.TempDir()
	for number := range int64(6) {
		stored := restarted(t, dir, number+1, 400*time.Microsecond, fromStore)
		if l := stored.Round.Ladder; l == nil || len(l.Usual) == 0 || len(stored.Round.Located) > 0 {
			t.Fatalf("round %d: ladder %+v, found %+v; want something to compare with", number+1, l,
				stored.Round.Located)
		}
	}
	stored := restarted(t, dir, 7, 50*time.Millisecond, fromStore)
	if found := stored.Round.Located; len(found) != 1 || found[0].Where != "all nodes" ||
		!strings.Contains(found[0].Evidence[0], "400µs was usual in 6 past rounds") {
		t.Errorf("found %+v, want that hosts are slower than in 6 past rounds", found)
	}
	if len(stored.Round.Ladder.Usual) > 0 {
		t.Errorf("what became slow is usual: %+v", stored.Round.Ladder.Usual)
	}
}
