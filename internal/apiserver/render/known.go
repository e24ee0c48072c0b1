package render

import (
	"cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// known is what the whole round tells of the paths of one agent.
type known struct {
	// expected are the IDs of the targets that each agent was to measure, by pod.
	expected map[string][]string
	// nodes are the nodes of pods, targets what agents measured, by ID.
	nodes   map[string]string
	targets map[string]*target.Target
	// backends are known only where single paths are rendered.
	backends backends
}

func newKnown(round report.Round) known {
	k := known{expected: map[string][]string{}, nodes: map[string]string{}, targets: map[string]*target.Target{}}
	for _, e := range round.Expected {
		k.expected[e.Pod], k.nodes[e.Pod] = e.Targets, e.Node
	}
	for i := range round.Agents {
		a := &round.Agents[i]
		k.nodes[a.Pod] = a.Node
		for j := range a.Paths {
			k.targets[a.Paths[j].Target.ID] = &a.Paths[j].Target
		}
	}
	return k
}

// target is the target of the ID as any agent measured it, and nothing but its ID where none did.
func (k known) target(id string) target.Target {
	if t, ok := k.targets[id]; ok {
		return *t
	}
	return target.Target{ID: id}
}

// node is the node of the pod that has the target's address, or the node that has it; empty where several may answer.
func (k known) node(t *target.Target) string { return cmp.Or(t.Node, k.nodes[t.Pod], t.AtNode) }

// judgedAgents are the judgements by pod.
func judgedAgents(v verdict.Verdict) map[string]verdict.JudgedAgent {
	judged := make(map[string]verdict.JudgedAgent, len(v.Agents))
	for _, a := range v.Agents {
		judged[a.Pod] = a
	}
	return judged
}

// judgedAgent is the judgement on an agent. An agent without one has no data: nothing unknown may read as a success.
func judgedAgent(judged map[string]verdict.JudgedAgent, pod string) verdict.JudgedAgent {
	if v, ok := judged[pod]; ok {
		return v
	}
	return verdict.JudgedAgent{Result: verdict.NoData, Reason: verdict.Reason{Text: "the agent was not judged"}}
}

// judgedPaths are the judgements on the paths of an agent, by target.
func judgedPaths(v verdict.JudgedAgent) map[string]verdict.JudgedPath {
	judged := make(map[string]verdict.JudgedPath, len(v.Paths))
	for _, p := range v.Paths {
		judged[p.Target] = p
	}
	return judged
}

// judgedPath is the judgement on a path; see judgedAgent.
func judgedPath(judged map[string]verdict.JudgedPath, target string) verdict.JudgedPath {
	if j, ok := judged[target]; ok {
		return j
	}
	return verdict.JudgedPath{Result: verdict.NoData, Reason: verdict.Reason{Text: "the path was not judged"}}
}
