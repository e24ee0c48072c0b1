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

// builders is the table of target kinds: a new kind is one line here and a folder below internal/target.
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

// planner makes the targets of one agent after the other. What is the same for all of them is made once.
type planner struct {
	snapshot topology.Snapshot
	want     Want
	queries  []query
	// same has what queries that do not depend on the agent gave, all what all of them together gave where none depends
	// on it.
	same map[query]made
	all  *made
}

// query is one kind and family that is wanted.
type query struct {
	kind   target.Kind
	family topology.Family
}

// made is what an agent probes and what it lacks, and the names of its targets.
type made struct {
	targets []target.Target
	names   []string
	gaps    []target.Gap
}

// newPlanner returns a planner. Kinds and families that are asked for twice are planned once.
func newPlanner(snapshot topology.Snapshot, want Want) *planner {
	p := &planner{snapshot: snapshot, want: want, same: map[query]made{}}
	for _, kind := range want.Kinds {
		for _, family := range want.Families {
			if q := (query{kind, family}); !slices.Contains(p.queries, q) {
				p.queries = append(p.queries, q)
			}
		}
	}
	return p
}

// of returns what the agent probes. Where two of the targets have one name there is a gap: they would be counted
// together and hide each other.
func (p *planner) of(agent topology.Agent) made {
	if p.all != nil {
		return *p.all
	}
	var whole made
	seen := map[string]bool{}
	for _, q := range p.queries {
		part := p.part(q, agent)
		whole.gaps = append(whole.gaps, part.gaps...)
		for _, t := range part.targets {
			if seen[t.ID] {
				whole.gaps = append(whole.gaps, target.Gap{Kind: q.kind, Family: q.family,
					Reason: fmt.Sprintf("there are two targets named %s, and only the first of them is probed", t.ID)})
				continue
			}
			seen[t.ID] = true
			whole.targets, whole.names = append(whole.targets, t), append(whole.names, t.ID)
		}
	}
	if !slices.ContainsFunc(p.queries, p.own) {
		// Nobody who appends to it may reach what others have.
		whole.targets, whole.names = slices.Clip(whole.targets), slices.Clip(whole.names)
		p.all = &whole
	}
	return whole
}

// part is what one kind and family gives the agent.
func (p *planner) part(q query, agent topology.Agent) made {
	if known, ok := p.same[q]; ok {
		return known
	}
	var part made
	if build, ok := builders()[q.kind]; ok {
		part.targets, part.gaps = build(target.Query{Snapshot: p.snapshot, Source: agent, Family: q.family,
			NodePorts: p.want.NodePorts, NodeAddresses: p.want.NodeAddresses})
	} else {
		part.gaps = []target.Gap{{Kind: q.kind, Family: q.family,
			Reason: fmt.Sprintf("this release has no target kind %s", q.kind)}}
	}
	if !p.own(q) {
		p.same[q] = part
	}
	return part
}

// own reports whether each agent has targets of its own of the kind: a Service may keep traffic on the agent's node,
// and node ports may be probed there alone.
func (p *planner) own(q query) bool {
	switch q.kind {
	case target.ClusterIP:
		return slices.ContainsFunc(p.snapshot.Services, func(s topology.Service) bool { return s.InternalLocal })
	case target.NodePort:
		return p.want.NodePorts == target.LocalNode
	}
	return false
}

// Count returns how many agents are ready, and how many targets of the wanted kinds and families the agent with the
// most targets has.
func Count(snapshot topology.Snapshot, want Want) (agents, most int) {
	planner := newPlanner(snapshot, want)
	for _, agent := range snapshot.Agents {
		if agent.Ready() {
			agents, most = agents+1, max(most, len(planner.of(agent).targets))
		}
	}
	return agents, most
}
