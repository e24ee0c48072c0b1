package round_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// served is a cluster of two agents with a Service that keeps traffic on the node, node ports at ExternalIPs, and a
// load balancer that the asking node answers for itself.
type served struct{}

func (served) Snapshot(context.Context, topology.Workload) (topology.Snapshot, error) {
	s := topology.Snapshot{Taken: time.Now(), Agents: pods("a", "b")}
	for i, name := range []string{"a", "b"} {
		internal, external := netip.AddrFrom4([4]byte{198, 19, 1, byte(i)}),
			netip.AddrFrom4([4]byte{198, 19, 2, byte(i)})
		s.Nodes = append(s.Nodes, topology.Node{Name: "node-" + name, Addresses: []netip.Addr{internal, external},
			External: []netip.Addr{external}})
	}
	s.Services = []topology.Service{{Name: "agents", Port: 80, NodePort: 30080, LoadBalancer: true, InternalLocal: true,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("198.19.3.1")},
		Ingress:    []topology.Entry{{Address: netip.MustParseAddr("198.19.4.1")}}}}
	return s, nil
}

// Agents in memory know no more of a target than the wire brings them, and report its ID alone.
func TestWhatThePlanKnowsOfATargetReachesTheJudgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agents, req := newAgents(nil), request(time.Minute)
		req.Want.Kinds = []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort, target.LoadBalancer}
		req.Want.NodeAddresses = target.AllAddresses
		snapshot, err := served{}.Snapshot(t.Context(), topology.Workload{})
		if err != nil {
			t.Fatal(err)
		}
		planned := map[string][]target.Target{}
		for _, plan := range mesh.New(req.Key, req.Task, snapshot, req.Want).Plans {
			planned[plan.Agent.Pod] = plan.Targets
		}
		got, err := conductor(served{}, agents, newMemory()).Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		reported := map[string][]target.Target{}
		var judged target.Target
		for _, agent := range got.Round.Agents {
			for _, path := range agent.Paths {
				reported[agent.Pod] = append(reported[agent.Pod], path.Target)
				judged.OnlyNode += path.Target.OnlyNode
				judged.AtNode += path.Target.AtNode
				judged.External = judged.External || path.Target.External
				judged.Further = judged.Further || path.Target.Further
				judged.ShortCircuit = judged.ShortCircuit || path.Target.ShortCircuit
			}
		}
		if diff := cmp.Diff(planned, reported); diff != "" {
			t.Errorf("targets by agent (-planned +reported):\n%s", diff)
		}
		if judged.OnlyNode == "" || judged.AtNode == "" || !judged.External || !judged.Further || !judged.ShortCircuit {
			t.Errorf("the round has no target with one of these: %+v", judged)
		}
	})
}

// stranger answers with a path to a target that nobody planned.
type stranger struct{ *agents }

func (s stranger) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.Agent, error) {
	r, err := s.agents.Fetch(ctx, agent, key)
	if agent.Pod == "b" && len(r.Paths) > 0 {
		r.Paths[0].Target.ID = "moon"
	}
	return r, err
}

func TestAPathOfATargetThatNobodyPlannedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory()
		got, err := round.New(round.Config{Snapshots: pods("a", "b"), Agents: stranger{newAgents(nil)}, Plans: memory,
			Rounds: memory, Unknown: errUnknown}).Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		want := []report.Missing{{Pod: "b", Node: "node-b",
			Reason: `no answer: path 0: the plan has no target "moon"`}}
		for i := range got.Round.Missing {
			got.Round.Missing[i].LastAnswered = time.Time{}
		}
		if diff := cmp.Diff(want, got.Round.Missing); diff != "" {
			t.Errorf("missing agents (-want +got):\n%s", diff)
		}
		if len(got.Round.Agents) != 1 || got.Round.Agents[0].Pod != "a" {
			t.Errorf("reports of %d agents; want that of a alone", len(got.Round.Agents))
		}
	})
}
