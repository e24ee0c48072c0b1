package mesh

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// How much agents report path by path. docs/scale.md says so to users.
const (
	// MaxTargets is how many targets an agent can probe in a round.
	MaxTargets = 20_000
	// MaxRows is how many paths of a round are all reported one by one. With more paths, agents report sums, and about
	// sumRows paths of all agents together one by one; leastRows of each agent at least.
	MaxRows   = 20_000
	sumRows   = 6_000
	leastRows = 2
	// namedPods is about how many pods an agent names in its sums.
	namedPods = 128
)

// Detail says which paths an agent reports one by one. The others are added up by groups.
type Detail struct {
	// Listed is the number of targets, from the first on, whose paths are always reported one by one.
	Listed int
	// Rows is how many further paths are reported one by one at most.
	Rows int
	// Groups has the group of every target, an index of Known. Agents do not get Known.
	Groups []uint32
	Known  []Group
	// SuccessRate and MeanDelay are what a path must reach to pass by the agent's own judgement; see verdict.Expect.
	SuccessRate float64
	MeanDelay   time.Duration
	// Pods is one in how many pods the agent names in its sums; see NamesPod.
	Pods uint32
}

// NamesPod reports whether an agent names the other pod in its sums: one in pods, by the hash of their names. Each pod
// is named by as many agents as each other pod.
func NamesPod(agent, pod string, pods uint32) bool {
	return PodClass(agent, pods) == PodClass(pod, pods)
}

// PodClass returns the class of an agent's pod, below pods. Agents name the pods of their own class in their sums.
func PodClass(pod string, pods uint32) uint32 {
	if pods <= 1 {
		return 0
	}
	return uint32(hash(pod) % uint64(pods)) // #nosec G115 -- below pods
}

// Group is the paths that are added up: those of one kind and family to the nodes of one zone.
type Group struct {
	Kind     target.Kind
	Family   topology.Family
	Protocol target.Protocol
	Answer   target.Answer
	Zone     string
}

// Shared is what the plans of a round with many paths have in common. Agents report sums in such a round.
type Shared struct {
	// Targets lead to one node each. Every agent probes those that the rotation gives it, beside the targets of its own
	// plan.
	Targets []target.Target `json:"Targets"`
	// Zones has the zones of nodes by their names.
	Zones    map[string]string `json:"Zones"`
	Rotation Rotation          `json:"Rotation"`
	Again    []report.Again    `json:"Again"`
	// Rows, Pods, SuccessRate and MeanDelay are those of every Detail.
	Rows        int           `json:"Rows"`
	Pods        uint32        `json:"Pods"`
	SuccessRate float64       `json:"SuccessRate"`
	MeanDelay   time.Duration `json:"MeanDelay"`
}

// Assignment gives agents their parts of the shared targets. It may be used by several goroutines: nothing changes it.
type Assignment struct {
	mesh *Mesh
	// nodes are the nodes of the shared targets, in the order of the targets.
	nodes []assignedNode
	// groups are the groups of the shared targets, indices of known.
	groups []uint32
	known  []Group
	ring   ring
	again  map[string][]string
}

// assignedNode is a node with the shared targets that lead to it, by their indices.
type assignedNode struct {
	name    string
	hash    uint64
	targets []uint32
}

// NodeOf returns the node to which a target leads, empty for a target that leads to no certain node.
func NodeOf(t *target.Target) string { return cmp.Or(t.Node, t.AtNode) }

// Assign prepares the plans of the mesh, which must not change any more.
func (m *Mesh) Assign() *Assignment {
	a := &Assignment{mesh: m}
	if m.Shared == nil {
		return a
	}
	a.groups = make([]uint32, len(m.Shared.Targets))
	var names []string
	index, places := map[Group]uint32{}, map[string]int{}
	for i := range m.Shared.Targets {
		t := &m.Shared.Targets[i]
		node := NodeOf(t)
		at, ok := places[node]
		if !ok {
			at = len(a.nodes)
			places[node], names = at, append(names, node)
			a.nodes = append(a.nodes, assignedNode{name: node, hash: hash(node)})
		}
		a.nodes[at].targets = append(a.nodes[at].targets, uint32(i)) // #nosec G115 -- the number of targets is bounded
		g := Group{Kind: t.Kind, Family: t.Family, Protocol: t.Protocol, Answer: t.MayAnswer(),
			Zone: m.Shared.Zones[node]}
		if _, ok := index[g]; !ok {
			index[g] = uint32(len(a.known)) // #nosec G115 -- there are fewer groups than targets
			a.known = append(a.known, g)
		}
		a.groups[i] = index[g]
	}
	a.ring, a.again = newRing(names, m.Shared.Zones), map[string][]string{}
	for _, pair := range m.Shared.Again {
		a.again[pair.From] = append(a.again[pair.From], pair.To)
	}
	return a
}

// of returns the agent's part of the shared targets by their indices: those that are always listed, which are those
// that failed before, and the others. nodes is to how many nodes they lead. The agent's own node is always among them.
func (a *Assignment) of(agent topology.Agent) (listed, others []uint32, nodes int) {
	rotation := a.mesh.Shared.Rotation
	from, again := hash(agent.Node), a.again[agent.Node]
	// Nodes are told apart by their hashes, which is quicker: two of one hash would be probed together.
	always := []uint64{from}
	for _, node := range a.Neighbors(agent.Node) {
		always = append(always, hash(node))
	}
	for i := range a.nodes {
		n := &a.nodes[i]
		switch {
		case len(again) > 0 && slices.Contains(again, n.name):
			listed = append(listed, n.targets...)
		case rotation.probes(from, n.hash), slices.Contains(always, n.hash):
			others = append(others, n.targets...)
		default:
			continue
		}
		nodes++
	}
	return listed, others, nodes
}

// Neighbors returns the nodes that the agents of a node probe in every round of a rotation, beside their own.
func (a *Assignment) Neighbors(node string) []string {
	if a.mesh.Shared == nil || a.mesh.Shared.Rotation.Full() {
		return nil
	}
	return a.ring.neighbors(node)
}

// PlanOf returns the i-th plan with all of its targets. In a round with many paths it is made for each call, without
// copies of the targets.
func (a *Assignment) PlanOf(i int) Plan {
	plan, shared := a.mesh.Plans[i], a.mesh.Shared
	if shared == nil {
		return plan
	}
	listed, others, _ := a.of(plan.Agent)
	n := len(listed) + len(others)
	groups := make([]uint32, len(plan.Targets), len(plan.Targets)+n)
	plan.Common = make([]*target.Target, 0, n)
	for _, part := range [][]uint32{listed, others} {
		for _, at := range part {
			plan.Common, groups = append(plan.Common, &shared.Targets[at]), append(groups, a.groups[at])
		}
	}
	plan.Detail = Detail{Listed: len(plan.Targets) + len(listed), Rows: shared.Rows, Groups: groups, Known: a.known,
		SuccessRate: shared.SuccessRate, MeanDelay: shared.MeanDelay, Pods: shared.Pods}
	return plan
}

// Targets returns the targets of the i-th plan, without copies of those that are shared.
func (a *Assignment) Targets(i int) iter.Seq[*target.Target] {
	return func(yield func(*target.Target) bool) {
		for k := range a.mesh.Plans[i].Targets {
			if !yield(&a.mesh.Plans[i].Targets[k]) {
				return
			}
		}
		if a.mesh.Shared == nil {
			return
		}
		listed, others, _ := a.of(a.mesh.Plans[i].Agent)
		for _, part := range [][]uint32{listed, others} {
			for _, at := range part {
				if !yield(&a.mesh.Shared.Targets[at]) {
					return
				}
			}
		}
	}
}

// Attach holds the report of the i-th plan's agent against the plan; see Plan.Attach.
func (a *Assignment) Attach(i int, r *report.AgentReport) error { return a.PlanOf(i).Attach(r) }

// MayRotate reports whether there are so many nodes that a round may probe a part of the pairs.
func (m *Mesh) MayRotate() bool { return nodesOf(m.Plans) > FullNodes }

// Sizes returns the number of targets of the agent with the most targets, and of all agents together.
func (m *Mesh) Sizes() (most, all int) {
	for _, p := range m.Plans {
		n := max(len(p.Targets), p.Paths)
		most, all = max(most, n), all+n
	}
	return most, all
}

// share moves the targets that all agents have in common, and that lead to nodes, into Shared where the round has more
// paths than can be reported one by one, or where it probes only a part of the pairs.
func (m *Mesh) share(key schedule.Key, snapshot topology.Snapshot, want Want) {
	nodes := nodesOf(m.Plans)
	rounds := max(want.Rounds, 1)
	if want.Pairs == RotatingPairs {
		rounds = max(rounds, roundsFor(nodes, FullNodes))
	}
	if nodes <= FullNodes {
		rounds = 1
	}
	rotation := rotationOf(key.UID, key.Round, rounds)
	if _, paths := m.Sizes(); len(m.Plans) == 0 || paths <= MaxRows && rotation.Full() {
		return
	}
	targets := m.takeCommon()
	if len(targets) == 0 {
		return
	}
	m.Shared = &Shared{Targets: targets, Zones: make(map[string]string, len(snapshot.Nodes)), Rotation: rotation,
		Again: want.Again, SuccessRate: want.SuccessRate, MeanDelay: want.MeanDelay,
		Rows: max(sumRows/len(m.Plans), leastRows),
		Pods: uint32(roundsFor(len(m.Plans), namedPods))} // #nosec G115 -- no more than there are plans
	for _, node := range snapshot.Nodes {
		m.Shared.Zones[node.Name] = node.Zone
	}
	m.countPaths()
}

// countPaths notes how many targets each agent has, in place of their names.
func (m *Mesh) countPaths() {
	assigned, paths := m.Assign(), make(map[string]int, len(m.Plans))
	for i := range m.Plans {
		listed, others, _ := assigned.of(m.Plans[i].Agent)
		m.Plans[i].Paths = len(m.Plans[i].Targets) + len(listed) + len(others)
		paths[m.Plans[i].Agent.Pod] = m.Plans[i].Paths
	}
	for i, e := range m.Expected {
		if e.LeftOutWhy == "" {
			m.Expected[i].Targets, m.Expected[i].Paths = nil, uint64(paths[e.Pod]) // #nosec G115 -- a count
		}
	}
}

// takeCommon takes the targets that lead to nodes out of the plans, if all plans have the same, and returns them.
func (m *Mesh) takeCommon() []target.Target {
	leads := func(t target.Target) bool { return NodeOf(&t) != "" && t.OnlyNode == "" }
	first := m.Plans[0].Targets
	shared := only(first, leads)
	for _, p := range m.Plans[1:] {
		if !sameTargets(p.Targets, first) && !slices.Equal(only(p.Targets, leads), shared) {
			return nil
		}
	}
	rest := map[*target.Target][]target.Target{}
	for i := range m.Plans {
		all := m.Plans[i].Targets
		if len(all) == 0 {
			continue
		}
		own, ok := rest[&all[0]]
		if !ok {
			own = only(all, func(t target.Target) bool { return !leads(t) })
			rest[&all[0]] = own
		}
		m.Plans[i].Targets = own
	}
	return shared
}

// sameTargets reports whether both are the same slice.
func sameTargets(a, b []target.Target) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func only(targets []target.Target, has func(target.Target) bool) []target.Target {
	var found []target.Target
	for _, t := range targets {
		if has(t) {
			found = append(found, t)
		}
	}
	return found
}

// nodesOf counts the nodes of the plans' agents.
func nodesOf(plans []Plan) int {
	nodes := map[string]bool{}
	for _, p := range plans {
		nodes[p.Agent.Node] = true
	}
	return len(nodes)
}

// Coverage returns which pairs the round of the number probes. interval is the time between two rounds of the task, 0
// without one, and started is when this round starts.
func (a *Assignment) Coverage(round int64, interval time.Duration, started time.Time) report.Coverage {
	c := report.Coverage{Mode: report.Full, Rounds: 1}
	if a.mesh.Shared == nil {
		for _, p := range a.mesh.Plans {
			c.Pairs += uint64(countNodes(p.Targets)) // #nosec G115 -- a count
		}
		c.AllPairs = c.Pairs
		return c
	}
	for i := range a.mesh.Plans {
		_, _, nodes := a.of(a.mesh.Plans[i].Agent)
		c.Pairs += uint64(nodes) // #nosec G115 -- a count
	}
	c.AllPairs = uint64(len(a.mesh.Plans)) * uint64(countNodes(a.mesh.Shared.Targets)) // #nosec G115 -- a count
	if !a.mesh.Shared.Rotation.Full() {
		c.Mode, c.Rounds = report.Rotate, a.mesh.Shared.Rotation.Rounds
	}
	c.Within = time.Duration(c.Rounds) * interval  // #nosec G115 -- a small power of two
	if back := int64(c.Rounds) - 1; round > back { // #nosec G115 -- a small power of two
		c.Oldest = started.Add(-time.Duration(back) * interval)
	}
	return c
}

// countNodes counts the nodes to which the targets lead.
func countNodes(targets []target.Target) int {
	nodes := map[string]bool{}
	for i := range targets {
		if node := NodeOf(&targets[i]); node != "" {
			nodes[node] = true
		}
	}
	return len(nodes)
}
