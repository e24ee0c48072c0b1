package diagnose_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestOnlyPodsThatAnAgentIsLedToAreSilentToIt(t *testing.T) {
	// Two pods on each of two nodes: a Service leads each agent to those on its own node, where b never answers.
	half := map[string]int{pod(0): 1, pod(1): 1, pod(2): 2, pod(3): 2}
	round := cluster{pods: 4, requests: 200, kinds: []target.Kind{target.ClusterIP},
		silent: func(agent, to string, _ target.Kind) bool { return half[agent] != half[to] || to == pod(1) }}.build()
	ids := round.Backends[0].Targets
	round.Backends = []report.BackendSet{
		{Targets: ids, Pods: []string{pod(0), pod(1)}, Askers: []string{pod(0), pod(1)}},
		{Targets: ids, Pods: []string{pod(2), pod(3)}, Askers: []string{pod(2), pod(3)}},
	}
	want := map[diagnose.AgentTarget][]string{{Agent: pod(0), Target: ids[0]}: {pod(1)},
		{Agent: pod(1), Target: ids[0]}: {pod(1)}}
	if diff := cmp.Diff(want, diagnose.SilentBackends(round)); diff != "" {
		t.Errorf("silent pods by agent and target (-want +got):\n%s", diff)
	}
	found := patterns(round)
	if len(found) != 1 || found[0].Reason != "SilentBackend" || found[0].Where != "pod agent-b on node node-2" {
		t.Errorf("%+v; want one finding about agent-b", found)
	}
}
