package diagnose

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/tally"
	"kdoctor.io/kdoctor/internal/target"
)

// How failures of a round with many paths are put down to faults.
const (
	// mostFaults is how many faults are told apart at most.
	mostFaults = 5
	// faultShare is the share of a thing's paths that must fail for the thing to be the fault: less may be chance.
	faultShare = 0.9
	// leastWitnesses is how many paths must show a fault.
	leastWitnesses = 2
)

const betweenZonesReason = "BetweenZones"

// suspect is a thing that all failures on some paths may be put down to.
type suspect struct {
	finding Finding
	// has reports whether the failure is on the thing's paths.
	has func(tally.Failure) bool
	// paths is how many of the thing's paths were judged, failed how many of them failed, however they are explained.
	paths, failed uint64
	// breadth orders suspects that explain equally much: the simpler one comes first.
	breadth int
	// dead is the index of the node that does not answer, -1 for other things.
	dead int32
	// zones are the zones between which paths are broken; nil for other things.
	zones []string
}

// lostWays are the ways on which Services lose requests too: they lead a part of all requests to the pods of dead
// nodes, and a part between the zones.
type lostWays struct {
	dead  []int32
	zones [][]string
}

// Large finds the faults of a round with many paths by the counts of where they begin and end. It puts as many failures
// as it can down to one thing after the other, as long as nearly all paths of the thing fail. explained reports, by
// node, whether all failures of the node's agents are put down to findings about other things.
func Large(round report.Round, t *tally.Tally) (findings []Finding, explained func(node string) bool) {
	left, found := slices.Clone(t.Failures), make([]uint64, len(t.Groups))
	suspects := suspectsOf(t)
	var lost lostWays
	for range mostFaults {
		best, n := mostExplaining(suspects, left)
		if n < leastWitnesses {
			break
		}
		findings = append(findings, placed(best, left, t))
		left = slices.DeleteFunc(left, func(f tally.Failure) bool {
			has := best.has(f)
			if has {
				found[f.Group]++
			}
			return has
		})
		if best.dead >= 0 {
			lost.dead = append(lost.dead, best.dead)
		}
		if best.zones != nil {
			lost.zones = append(lost.zones, best.zones)
		}
		left = withoutTurns(round, t, left, found, lost)
	}
	remaining := map[string]bool{}
	for _, f := range left {
		remaining[t.Nodes[f.From]] = true
	}
	located := len(findings) > 0
	for _, f := range unreached(round, t) {
		on := func(node int32) bool { return strings.HasSuffix(f.Where, " on node "+t.Nodes[node]) }
		if !slices.ContainsFunc(lost.dead, on) {
			findings = append(findings, f)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Compare(rank(a.Confidence),
			rank(b.Confidence))
	})
	return findings, func(node string) bool { return located && !remaining[node] }
}

// placed returns the suspect's finding; one about a node says how broad its evidence is.
func placed(s suspect, left []tally.Failure, t *tally.Tally) Finding {
	if len(s.finding.Nodes) != 1 {
		return s.finding
	}
	name := func(node int32) string {
		if node < 0 {
			return ""
		}
		return t.Nodes[node]
	}
	var failed []ends
	for _, f := range left {
		if s.has(f) {
			failed = append(failed, ends{name(f.From), name(f.To), string(t.Groups[f.Group].Kind)})
		}
	}
	return about(s.finding, s.finding.Nodes[0], failed)
}

// mostExplaining returns the suspect that explains the most failures, and how many.
func mostExplaining(suspects []suspect, left []tally.Failure) (best suspect, most int) {
	for _, s := range suspects {
		n := 0
		for _, f := range left {
			if s.has(f) {
				n++
			}
		}
		if n > most || n == most && n > 0 && s.breadth < best.breadth {
			best, most = s, n
		}
	}
	return best, most
}

// suspectsOf returns everything of which nearly all paths fail.
func suspectsOf(t *tally.Tally) []suspect {
	var all []suspect
	for node := range t.Nodes {
		all = append(all, toNode(t, node)...)
		all = append(all, fromNode(t, node)...)
	}
	all = append(all, zonePairs(t)...)
	all = append(all, groupsOf(t)...)
	return slices.DeleteFunc(all, func(s suspect) bool {
		return s.failed < leastWitnesses || float64(s.failed) < faultShare*float64(s.paths)
	})
}

// toNode returns the suspects that the node itself, and that one kind of paths to it, is the fault.
func toNode(t *tally.Tally, node int) []suspect {
	at := int32(node) // #nosec G115 -- far fewer nodes
	whole := suspect{dead: at, breadth: 1}
	var single []suspect
	groups, failing := 0, 0
	for g, of := range t.Groups {
		c := t.To[g][node]
		if c.Paths == 0 {
			continue
		}
		groups++
		whole.paths, whole.failed = whole.paths+c.Paths, whole.failed+c.Failed
		if float64(c.Failed) >= faultShare*float64(c.Paths) {
			failing++
		}
		name := fmt.Sprintf("%s over %s of node %s", of.Kind.Traits().Title, of.Family, t.Nodes[node])
		component := PodOrNode
		if of.Kind == target.NodePort {
			component = ServicePath
		}
		single = append(single, suspect{
			dead: -1, breadth: 3, paths: c.Paths, failed: c.Failed,
			has: func(f tally.Failure) bool { return f.To == at && int(f.Group) == g },
			finding: Finding{Reason: "CommonNode", Component: component, Where: name, Confidence: High,
				Nodes: []string{t.Nodes[node]},
				Message: fmt.Sprintf("%s fails from everywhere, while other paths to the node pass; look at %s", name,
					adviceFor(of.Kind)),
				Evidence: []string{failedOfPaths(c)}},
		})
	}
	if groups < 2 || failing < groups {
		return single
	}
	whole.has = func(f tally.Failure) bool { return f.To == at || f.From == at }
	whole.finding = Finding{Reason: "CommonNode", Component: PodOrNode, Where: "node " + t.Nodes[node],
		Confidence: High, Nodes: []string{t.Nodes[node]},
		Message: fmt.Sprintf("every kind of path to node %s fails; look at the node, its network and its agent's pod",
			t.Nodes[node]),
		Evidence: []string{failedOfPaths(tally.Count{Paths: whole.paths, Failed: whole.failed})}}
	return append(single, whole)
}

// fromNode returns the suspect that whatever the node sends is the fault.
func fromNode(t *tally.Tally, node int) []suspect {
	s := suspect{dead: -1, breadth: 2, has: func(f tally.Failure) bool { return int(f.From) == node }}
	for g := range t.Groups {
		s.paths, s.failed = s.paths+t.From[g][node].Paths, s.failed+t.From[g][node].Failed
	}
	s.finding = Finding{Reason: "OneSource", Component: PodOrNode, Where: "node " + t.Nodes[node], Confidence: Medium,
		Nodes: []string{t.Nodes[node]},
		Message: fmt.Sprintf("paths from node %s fail wherever they lead; look at the node's own network and its CNI",
			t.Nodes[node]),
		Evidence: []string{failedOfPaths(tally.Count{Paths: s.paths, Failed: s.failed})}}
	return []suspect{s}
}

// zonePairs returns the suspects that the way from one zone to another is the fault, one way or both ways.
func zonePairs(t *tally.Tally) []suspect {
	type ends struct{ from, to string }
	sums := map[ends]tally.Count{}
	for pair, c := range t.ZonePairs {
		if t.Groups[pair.Group].Kind.Traits().Direct && pair.From != pair.To {
			sum := sums[ends{pair.From, pair.To}]
			sums[ends{pair.From, pair.To}] = tally.Count{Paths: sum.Paths + c.Paths, Failed: sum.Failed + c.Failed}
		}
	}
	broken := func(c tally.Count) bool { return c.Failed > 0 && float64(c.Failed) >= faultShare*float64(c.Paths) }
	var all []suspect
	for e, c := range sums {
		back := sums[ends{e.to, e.from}]
		both := broken(back)
		if !broken(c) || both && e.from > e.to {
			continue
		}
		where, breadth := fmt.Sprintf("zone %s to zone %s", zoneName(e.from), zoneName(e.to)), 1
		if both {
			c = tally.Count{Paths: c.Paths + back.Paths, Failed: c.Failed + back.Failed}
			where, breadth = fmt.Sprintf("zones %s and %s", zoneName(e.from), zoneName(e.to)), 0
		}
		all = append(all, suspect{dead: -1, zones: []string{e.from, e.to}, breadth: breadth, paths: c.Paths,
			failed: c.Failed,
			has: func(f tally.Failure) bool {
				if f.To < 0 {
					return false
				}
				from, to := t.Zones[f.From], t.Zones[f.To]
				return from == e.from && to == e.to || both && from == e.to && to == e.from
			},
			finding: Finding{Reason: betweenZonesReason, Component: BetweenNodes, Where: where, Confidence: High,
				Message: "paths between " + strings.Replace(where, " to ", " and ", 1) +
					" fail, while paths within the zones and to others pass; look at the routes and firewalls between them",
				Evidence: []string{failedOfPaths(c)}}})
	}
	slices.SortFunc(all, func(a, b suspect) int { return cmp.Compare(a.finding.Where, b.finding.Where) })
	return all
}

func zoneName(zone string) string { return cmp.Or(zone, "(no zone)") }

// groupsOf returns the suspects that one kind of paths, over one family or both, is the fault.
func groupsOf(t *tally.Tally) []suspect {
	sums := map[target.Kind]tally.Count{}
	for g, of := range t.Groups {
		sum := sums[of.Kind]
		add := func(c tally.Count) { sum = tally.Count{Paths: sum.Paths + c.Paths, Failed: sum.Failed + c.Failed} }
		add(t.Anywhere[g])
		for _, c := range t.To[g] {
			add(c)
		}
		sums[of.Kind] = sum
	}
	var all []suspect
	for _, row := range target.Kinds() {
		c := sums[row.Kind]
		all = append(all, suspect{dead: -1, paths: c.Paths, failed: c.Failed,
			has: func(f tally.Failure) bool { return t.Groups[f.Group].Kind == row.Kind },
			finding: Finding{Reason: "OnlyKind", Component: componentOf(row), Where: row.Title, Confidence: High,
				Message:  fmt.Sprintf("paths of kind %s fail everywhere; look at %s", row.Title, adviceFor(row.Kind)),
				Evidence: []string{failedOfPaths(c)}}})
	}
	return all
}

func componentOf(row target.Traits) Component {
	if row.Component == "" {
		return Unclear
	}
	return Component(row.Component)
}

// adviceFor names what to look at for a kind of path.
func adviceFor(kind target.Kind) string {
	return cmp.Or(kind.Traits().Chooser, "the pod network: CNI, routes and firewalls")
}

func failedOfPaths(c tally.Count) string {
	return fmt.Sprintf("%d of %d paths failed", c.Failed, c.Paths)
}

// withoutTurns leaves out the failures on paths to Services, as far as they are about as many requests as are led the
// lost ways: a Service leads one of k requests to each of k pods, until Kubernetes takes a dead one out, and from
// everywhere to the pods of all zones. found has how many failures were put down to findings, by group.
func withoutTurns(round report.Round, t *tally.Tally, left []tally.Failure, found []uint64,
	lost lostWays) []tally.Failure {
	sent, failed := requestsToServices(round)
	explains := func(group uint16, share float64) bool {
		of := t.Groups[group]
		n, turns := float64(sent[of]), float64(sent[of])*share
		return !of.Kind.Traits().Direct &&
			float64(failed[of]) <= turns+3*math.Sqrt(turns)+n*foundShare(t, group, found)
	}
	// Of each lost way, and of the dead nodes alone, the groups whose failures it explains.
	dead := shareOf(round, t, func(node int32) bool { return slices.Contains(lost.dead, node) })
	byDead, byZones := make([]bool, len(t.Groups)), make([][]bool, len(lost.zones))
	for g := range t.Groups {
		group := uint16(g) // #nosec G115 -- a dozen
		byDead[g] = dead > 0 && explains(group, dead)
		for i, zones := range lost.zones {
			share := shareOf(round, t, func(node int32) bool { return slices.Contains(zones, t.Zones[node]) })
			byZones[i] = append(byZones[i], explains(group, dead+share))
		}
	}
	return slices.DeleteFunc(left, func(f tally.Failure) bool {
		if byDead[f.Group] {
			return true
		}
		for i, zones := range lost.zones {
			in := func(node int32) bool { return node >= 0 && slices.Contains(zones, t.Zones[node]) }
			if byZones[i][f.Group] && (in(f.From) || in(f.To)) {
				return true
			}
		}
		return false
	})
}

// shareOf is the share of the expected agents that are on the nodes.
func shareOf(round report.Round, t *tally.Tally, has func(node int32) bool) float64 {
	nodes := map[string]bool{}
	for i, name := range t.Nodes {
		nodes[name] = has(int32(i)) // #nosec G115 -- an index of int32
	}
	n := 0
	for _, e := range round.Expected {
		if nodes[e.Node] {
			n++
		}
	}
	return float64(n) / float64(max(len(round.Expected), 1))
}

// foundShare is the share of the group's paths whose failures were put down to findings.
func foundShare(t *tally.Tally, group uint16, found []uint64) float64 {
	all := t.Anywhere[group].Paths
	for _, c := range t.To[group] {
		all += c.Paths
	}
	return float64(found[group]) / float64(max(all, 1))
}

// requestsToServices counts the requests of all agents on paths to Services, and those that failed, by group.
func requestsToServices(round report.Round) (sent, failed map[tally.Group]uint64) {
	sent, failed = map[tally.Group]uint64{}, map[tally.Group]uint64{}
	add := func(p *report.Path) {
		if !p.Target.Kind.Traits().Direct {
			of := tally.Group{Kind: p.Target.Kind, Family: p.Target.Family}
			sent[of], failed[of] = sent[of]+p.Sent, failed[of]+p.Failed()
		}
	}
	for i := range round.Agents {
		for k := range round.Agents[i].Paths {
			add(&round.Agents[i].Paths[k])
		}
		for k := range round.Agents[i].Sums {
			add(&round.Agents[i].Sums[k].Total)
		}
	}
	return sent, failed
}
