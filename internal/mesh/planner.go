package mesh

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/clusterip"
	"kdoctor.io/kdoctor/internal/target/endpoint"
	"kdoctor.io/kdoctor/internal/target/ingress"
	"kdoctor.io/kdoctor/internal/target/loadbalancer"
	"kdoctor.io/kdoctor/internal/target/nodeport"
	"kdoctor.io/kdoctor/internal/target/secondinterface"
	"kdoctor.io/kdoctor/internal/topology"
)

// builders has the builder of every target kind of target.Kinds.
func builders() map[target.Kind]target.Builder {
	return map[target.Kind]target.Builder{
		target.Endpoint:        endpoint.Targets,
		target.SecondInterface: secondinterface.Targets,
		target.ClusterIP:       clusterip.Targets,
		target.NodePort:        nodeport.Targets,
		target.LoadBalancer:    loadbalancer.Targets,
		target.Ingress:         ingress.Targets,
	}
}

// planner derives the targets of one agent after the other. Targets that are the same for all agents are derived once.
type planner struct {
	snapshot topology.Snapshot
	want     Want
	queries  []query
	// byQuery has the targets of queries that are the same for all agents. all has the targets of all queries together,
	// when all queries are the same for all agents.
	byQuery map[query]agentTargets
	all     *agentTargets
}

// query is one wanted kind and family.
type query struct {
	kind   target.Kind
	family topology.Family
}

// agentTargets are an agent's targets with their names, and the gaps between what is wanted and what exists.
type agentTargets struct {
	targets []target.Target
	names   []string
	gaps    []target.Gap
}

// newPlanner returns a planner. Kinds and families that are asked for twice are planned once.
func newPlanner(snapshot topology.Snapshot, want Want) *planner {
	p := &planner{snapshot: snapshot, want: want, byQuery: map[query]agentTargets{}}
	for _, kind := range want.Kinds {
		for _, family := range want.Families {
			if q := (query{kind, family}); !slices.Contains(p.queries, q) {
				p.queries = append(p.queries, q)
			}
		}
	}
	return p
}

// targetsOf returns the agent's targets. A second target of the same name becomes a gap: both would be counted together
// and hide each other.
func (p *planner) targetsOf(agent topology.Agent) agentTargets {
	if p.all != nil {
		return *p.all
	}
	var all agentTargets
	seen := map[string]bool{}
	for _, q := range p.queries {
		part := p.ofQuery(q, agent)
		all.gaps = append(all.gaps, part.gaps...)
		for _, t := range part.targets {
			if seen[t.ID] {
				all.gaps = append(all.gaps, target.Gap{Kind: q.kind, Family: q.family,
					Reason: fmt.Sprintf("there are two targets named %s, and only the first of them is probed", t.ID)})
				continue
			}
			seen[t.ID] = true
			all.targets, all.names = append(all.targets, t), append(all.names, t.ID)
		}
	}
	if !slices.ContainsFunc(p.queries, p.dependsOnAgent) {
		// An append to one agent's slices must not change another agent's.
		all.targets, all.names = slices.Clip(all.targets), slices.Clip(all.names)
		p.all = &all
	}
	return all
}

// ofQuery returns the agent's targets of one kind and family.
func (p *planner) ofQuery(q query, agent topology.Agent) agentTargets {
	if known, ok := p.byQuery[q]; ok {
		return known
	}
	var part agentTargets
	if build, ok := builders()[q.kind]; ok {
		part.targets, part.gaps = build(target.Query{Snapshot: p.snapshot, Source: agent, Family: q.family,
			NodePorts: p.want.NodePorts, NodeAddresses: p.want.NodeAddresses})
	} else {
		part.gaps = []target.Gap{{Kind: q.kind, Family: q.family,
			Reason: fmt.Sprintf("this release has no target kind %s", q.kind)}}
	}
	if !p.dependsOnAgent(q) {
		p.byQuery[q] = part
	}
	return part
}

// dependsOnAgent reports whether the targets of the kind may differ between agents: a Service may keep traffic on the
// agent's node, and node ports may be probed on the agent's node alone.
func (p *planner) dependsOnAgent(q query) bool {
	switch q.kind {
	case target.ClusterIP:
		return slices.ContainsFunc(p.snapshot.Services, func(s topology.Service) bool { return s.InternalLocal })
	case target.NodePort:
		return p.want.NodePorts == target.LocalNode
	}
	return false
}
