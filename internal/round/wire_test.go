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
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
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

func (s stranger) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	r, err := s.agents.Fetch(ctx, agent, key)
	if agent.Pod == "b" && len(r.Paths) > 0 {
		r.Paths[0].Target.ID = "moon"
	}
	return r, err
}

func TestAPathOfATargetThatNobodyPlannedIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory()
		got, err := round.New(round.Config{Snapshots: pods("a", "b"), Agents: stranger{newAgents(nil)}, Plans: memory,
			Rounds: memory, Unknown: errUnknown}).Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Round.Agents) != 2 || len(got.Round.Agents[0].Paths) != 2 || len(got.Round.Agents[1].Paths) != 1 {
			t.Fatalf("agents %+v and missing %+v; want both agents, and b without one of its two paths",
				got.Round.Agents, got.Round.Missing)
		}
		if got.Verdict.Result == verdict.Pass {
			t.Error("a round passes in which a planned target has no path")
		}
	})
}

// The controller loses the plan and makes another one, and the agents still run the first.
func TestAgentsOfAPlanThatWasLostAreJudgedByTheNewOne(t *testing.T) {
	for _, c := range []struct {
		name   string
		away   time.Duration
		later  cluster
		result verdict.Result
	}{
		{"a pod is gone: the others pass", 2 * time.Second, pods("a", "b"), verdict.Pass},
		{"a pod is gone after the deadline: the others pass", 2 * time.Minute, pods("a", "b"), verdict.Pass},
		{"the cluster is as it was: all pass", 2 * time.Second, pods("a", "b", "c"), verdict.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agents, kept, req := newAgents(nil), newMemory(), request(time.Minute)
				handOver(t, conductor(pods("a", "b", "c"), agents, kept), req, time.Second)
				kept.plans = map[schedule.Key]store.StoredPlan{}
				time.Sleep(c.away)
				got, err := conductor(c.later, agents, kept).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if got.Verdict.Result != c.result || len(got.Round.Agents) != len(c.later) {
					t.Errorf("%s with %d reports, want %s with %d; reasons %v", got.Verdict.Result,
						len(got.Round.Agents), c.result, len(c.later), got.Verdict.Reasons)
				}
			})
		})
	}
}
