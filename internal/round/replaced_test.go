package round_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/topology"
)

// rolled is a cluster in which the agents in host networks are there with the names of first, and with those of later
// from the second look on.
type rolled struct {
	withHosts
	later func(pod string) (name string, there bool)
	looks *atomic.Int64
}

func (r rolled) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	s, err := r.withHosts.Snapshot(ctx, of)
	first := r.looks.Add(1) == 1
	s.HostPods = []string{}
	for i, h := range s.Hosts {
		name, there := h.Pod, true
		if !first {
			name, there = r.later(h.Pod)
		}
		s.Hosts[i].Pod = name
		if there {
			s.HostPods = append(s.HostPods, name)
		}
	}
	return s, err
}

// strangers answers as prompt does, but for what is asked of the agent in the host network of one node.
type strangers struct{ prompt }

func (s strangers) Probe(ctx context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error) {
	results, err := s.prompt.Probe(ctx, agent, specs)
	for i, spec := range specs {
		if spec.Peer == "host-a" {
			n := uint64(spec.Count)
			results[i].Counts = ladder.Counts{Sent: n, Failures: map[ladder.Failure]uint64{ladder.WrongPeer: n}}
		}
	}
	return results, err
}

// An agent in a host network that is replaced answers under another name. Nothing is broken, and nothing is found.
func TestAgentsInHostNetworksThatAreReplacedAreNoFault(t *testing.T) {
	for _, c := range []struct {
		name  string
		later func(string) (string, bool)
		found bool
	}{
		{"they are the same", func(pod string) (string, bool) { return pod, true }, true},
		{"they are replaced", func(pod string) (string, bool) { return pod + "-new", true }, false},
		{"they are deleted", func(pod string) (string, bool) { return pod, !strings.HasSuffix(pod, "-a") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, kept := request(time.Minute), newMemory()
				req.Ladder = true
				cluster := rolled{withHosts{pods("a", "b", "c")}, c.later, new(atomic.Int64)}
				conductor := round.New(round.Config{Snapshots: cluster, Agents: newAgents(nil), Plans: kept,
					Rounds: kept, Unknown: errUnknown, Ladder: strangers{prompt{time.Millisecond}}})
				stored, err := conductor.Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if found := len(stored.Round.Located) > 0; found != c.found {
					t.Errorf("found %+v; want something: %v", stored.Round.Located, c.found)
				}
			})
		})
	}
}
