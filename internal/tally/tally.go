// Package tally counts the paths of a round with many paths by where they begin and where they end: it is what is left
// of them for the report and for the diagnosis once agents have added most of them up.
package tally

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Group is a kind of paths over one family.
type Group struct {
	Kind   target.Kind
	Family topology.Family
}

// Count is how many paths were judged, and how many of them failed.
type Count struct{ Paths, Failed uint64 }

// Failure is one failed path, by indices of Tally.Nodes and Tally.Groups. To is -1 for a path that leads to no certain
// node.
type Failure struct {
	From, To int32
	Group    uint16
}

// Tally has the counts of a round. Paths of agents without a report, and paths that are neither a pass nor a failure,
// are in none of them, except that the latter count as judged.
type Tally struct {
	// Nodes are all nodes of agents and targets, Zones has the zone of each.
	Nodes  []string
	Zones  []string
	Groups []Group
	// To and From have the counts by group and node.
	To, From [][]Count
	// ZonePairs has the counts by group, and the zones of both ends.
	ZonePairs map[ZonePair]Count
	// Anywhere has the counts of paths that lead to no certain node, by group.
	Anywhere []Count
	Failures []Failure

	// pods is one in how many pods an agent names in its sums.
	pods uint32

	nodes  map[string]int32
	groups map[Group]uint16
	// ends has the group and the node of targets that were counted before.
	ends map[*target.Target]ends
	// pairs has the counts of ZonePairs by group, and by the indices of both zones.
	pairs [][]Count
	zones map[string]int
}

// ends is where paths to a target end.
type ends struct {
	group uint16
	node  int32
}

// ZonePair is the zones of both ends of a path, and its group.
type ZonePair struct {
	Group    uint16
	From, To string
}

// Of counts the paths of the round, which was planned as the mesh says.
func Of(m *mesh.Mesh, assigned *mesh.Assignment, round report.Round, judged verdict.Verdict) *Tally {
	t := &Tally{nodes: map[string]int32{}, groups: map[Group]uint16{}, ZonePairs: map[ZonePair]Count{},
		ends: map[*target.Target]ends{}, zones: map[string]int{}}
	if m.Shared == nil {
		return t
	}
	t.pods = m.Shared.Pods
	t.zones[""] = 0
	for _, zone := range m.Shared.Zones {
		if _, ok := t.zones[zone]; !ok {
			t.zones[zone] = len(t.zones)
		}
	}
	reports := make(map[string]*report.AgentReport, len(round.Agents))
	for i := range round.Agents {
		reports[round.Agents[i].Pod] = &round.Agents[i]
	}
	results := make(map[string]*verdict.JudgedAgent, len(judged.Agents))
	for i := range judged.Agents {
		results[judged.Agents[i].Pod] = &judged.Agents[i]
	}
	t.Failures = make([]Failure, 0, unlisted(judged))
	for i, plan := range m.Plans {
		r, agent := reports[plan.Agent.Pod], results[plan.Agent.Pod]
		if r == nil || agent == nil {
			continue
		}
		from := t.node(plan.Agent.Node, m)
		for at := range assigned.Targets(i) {
			t.add(from, at, m)
		}
		t.addFailures(from, r, agent, m)
	}
	t.nameZones()
	return t
}

// unlisted returns how many paths in sums did not pass, which are most of the failures where there are many.
func unlisted(judged verdict.Verdict) (n int) {
	for _, agent := range judged.Agents {
		n += len(agent.Unlisted)
	}
	return n
}

// nameZones writes ZonePairs.
func (t *Tally) nameZones() {
	names := make([]string, len(t.zones))
	for zone, i := range t.zones {
		names[i] = zone
	}
	for g := range t.pairs {
		for i, c := range t.pairs[g] {
			if c.Paths > 0 {
				group := uint16(g) // #nosec G115 -- a dozen
				t.ZonePairs[ZonePair{Group: group, From: names[i/len(names)], To: names[i%len(names)]}] = c
			}
		}
	}
}

// pair returns the counts of the zones of two nodes.
func (t *Tally) pair(g uint16, from, to int32) *Count {
	return &t.pairs[g][t.zones[t.Zones[from]]*len(t.zones)+t.zones[t.Zones[to]]]
}

// endsOf returns where paths to the target end; the node is -1 where that is not certain.
func (t *Tally) endsOf(to *target.Target, m *mesh.Mesh) ends {
	known, ok := t.ends[to]
	if !ok {
		known = ends{group: t.group(to), node: -1}
		if name := mesh.NodeOf(to); name != "" {
			known.node = t.node(name, m)
		}
		t.ends[to] = known
	}
	return known
}

// ClassOf returns the class of the pod: agents name the pods of their own class in their sums.
func (t *Tally) ClassOf(pod string) uint32 { return mesh.PodClass(pod, t.pods) }

// node returns the index of the node.
func (t *Tally) node(name string, m *mesh.Mesh) int32 {
	at, ok := t.nodes[name]
	if !ok {
		at = int32(len(t.Nodes)) // #nosec G115 -- far fewer nodes
		t.nodes[name] = at
		// A node that the plan does not know has no zone.
		t.Nodes, t.Zones = append(t.Nodes, name), append(t.Zones, m.Shared.Zones[name])
		for g := range t.To {
			t.To[g], t.From[g] = append(t.To[g], Count{}), append(t.From[g], Count{})
		}
	}
	return at
}

func (t *Tally) group(of *target.Target) uint16 {
	g := Group{of.Kind, of.Family}
	at, ok := t.groups[g]
	if !ok {
		at = uint16(len(t.Groups)) // #nosec G115 -- a dozen
		t.groups[g] = at
		t.Groups, t.Anywhere = append(t.Groups, g), append(t.Anywhere, Count{})
		t.To, t.From = append(t.To, make([]Count, len(t.Nodes))), append(t.From, make([]Count, len(t.Nodes)))
		t.pairs = append(t.pairs, make([]Count, len(t.zones)*len(t.zones)))
	}
	return at
}

// add counts a path as judged.
func (t *Tally) add(from int32, to *target.Target, m *mesh.Mesh) {
	end := t.endsOf(to, m)
	if end.node < 0 {
		t.Anywhere[end.group].Paths++
		return
	}
	t.To[end.group][end.node].Paths++
	t.From[end.group][from].Paths++
	t.pair(end.group, from, end.node).Paths++
}

// addFailures counts the failed paths of one agent, the listed ones and the others.
func (t *Tally) addFailures(from int32, r *report.AgentReport, agent *verdict.JudgedAgent, m *mesh.Mesh) {
	failed := map[string]bool{}
	for _, p := range agent.Paths {
		if p.Result == verdict.Fail {
			failed[p.Target] = true
		}
	}
	for i := range r.Paths {
		if failed[r.Paths[i].Target.ID] {
			t.fail(from, &r.Paths[i].Target, m)
		}
	}
	for _, p := range agent.Unlisted {
		if p.Result() == verdict.Fail {
			t.fail(from, r.NotListed[p.At].Target, m)
		}
	}
}

func (t *Tally) fail(from int32, to *target.Target, m *mesh.Mesh) {
	end := t.endsOf(to, m)
	if end.node < 0 {
		t.Anywhere[end.group].Failed++
	} else {
		t.To[end.group][end.node].Failed++
		t.From[end.group][from].Failed++
		t.pair(end.group, from, end.node).Failed++
	}
	t.Failures = append(t.Failures, Failure{From: from, To: end.node, Group: end.group})
}

// Summarize writes the counts by node and by pair of zones into the round.
func (t *Tally) Summarize(round *report.Round) {
	var nodes []report.NodeCount
	for node, name := range t.Nodes {
		var c Count
		for g := range t.To {
			c.Paths, c.Failed = c.Paths+t.To[g][node].Paths, c.Failed+t.To[g][node].Failed
		}
		if c.Failed > 0 {
			nodes = append(nodes, report.NodeCount{Node: name, Paths: c.Paths, NotPassed: c.Failed})
		}
	}
	slices.SortFunc(nodes, func(a, b report.NodeCount) int {
		return cmp.Or(cmp.Compare(b.NotPassed, a.NotPassed), cmp.Compare(a.Node, b.Node))
	})
	if more := len(nodes) - report.MaxNodes; more > 0 {
		round.MoreNodes, nodes = uint64(more), nodes[:report.MaxNodes]
	}
	round.Nodes, round.Ends = nodes, t.byNode()
	pairs := map[[2]string]Count{}
	for pair, c := range t.ZonePairs {
		sum := pairs[[2]string{pair.From, pair.To}]
		pairs[[2]string{pair.From, pair.To}] = Count{sum.Paths + c.Paths, sum.Failed + c.Failed}
	}
	round.ZonePairs = nil
	for ends, c := range pairs {
		round.ZonePairs = append(round.ZonePairs,
			report.ZonePair{From: ends[0], To: ends[1], Paths: c.Paths, NotPassed: c.Failed})
	}
	slices.SortFunc(round.ZonePairs, func(a, b report.ZonePair) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	if len(round.ZonePairs) > report.MaxZonePairs {
		slices.SortStableFunc(round.ZonePairs,
			func(a, b report.ZonePair) int { return cmp.Compare(b.NotPassed, a.NotPassed) })
		round.ZonePairs = round.ZonePairs[:report.MaxZonePairs]
	}
}

// byNode returns the counts of the paths to each node, by kind and family.
func (t *Tally) byNode() []report.NodeEnd {
	var all []report.NodeEnd
	for g, group := range t.Groups {
		for node, c := range t.To[g] {
			if c.Paths > 0 {
				all = append(all, report.NodeEnd{Kind: group.Kind, Family: group.Family,
					NodeCount: report.NodeCount{Node: t.Nodes[node], Paths: c.Paths, NotPassed: c.Failed}})
			}
		}
	}
	return all
}
