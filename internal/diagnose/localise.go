package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Localise says what the failed paths have in common that passed paths have not: a node, two nodes, a source, a kind of
// path or a family. It only looks at which paths failed. It returns at most one such finding, and none if the failures
// have nothing in common. If only persistent connections fail, one more finding says so.
func Localise(round report.Round, judged verdict.Verdict) []Finding {
	failed, passed := routesOf(round, judged).split()
	if len(failed) == 0 {
		return nil
	}
	var all []Finding
	rules := append(nodeRules(), propertyRules()...)
	if found, ok := onlyPersistent(failed); ok {
		// Such requests are not judged on all kinds of paths, so the kind of path proves nothing.
		all, rules = append(all, found), nodeRules()
	}
	for _, r := range rules {
		if found, ok := r.find(failed, passed); ok {
			found.Reason = r.reason
			return append(all, found)
		}
	}
	return all
}

const onlyPersistentReason = "OnlyPersistent"

// onlyPersistent finds that all paths fail only for requests over a persistent connection.
func onlyPersistent(failed routes) (Finding, bool) {
	if failed.any(func(r route) bool { return !r.persistent }) {
		return Finding{}, false
	}
	return Finding{Reason: onlyPersistentReason, Component: Unclear, Where: "persistent connections",
		Confidence: propertyConfidence(failed),
		Message: "every failing path fails for its persistent connection alone, while new connections are well; look for " +
			"what ends idle connections on the way, such as connection tracking, NAT or a firewall",
		Evidence: []string{plural(len(failed), "path") + " failed, each for its persistent connection alone"}}, true
}

// commonRule is a rule about what failed routes have in common.
type commonRule struct {
	reason string
	find   func(failed, passed routes) (Finding, bool)
}

// nodeRules is the table of rules that name nodes. The first rule that fits says most.
func nodeRules() []commonRule {
	return []commonRule{{"BetweenTwoNodes", betweenTwoNodes}, {"OneSource", oneSource}, {"CommonNode", commonNode}}
}

func propertyRules() []commonRule {
	return []commonRule{{"OnlyKind", onlyKind}, {"OnlyFamily", onlyFamily}}
}

// route is one path with the result pass or fail.
type route struct {
	// from is the node that asked. to is the node of the pod, or of the address, that ought to answer; to is empty if
	// one of several pods may answer.
	from, to string
	kind     target.Kind
	// title is the kind's name for people, with the network interface if there is one.
	title  string
	family topology.Family
	failed bool
	// persistent reports that the path failed only for the requests over its persistent connection.
	persistent bool
}

// direct reports whether only the network is between the two pods.
func (r route) direct() bool { return r.kind.Traits().Direct }

type routes []route

// routesOf returns the routes of all paths on which enough was measured to pass or fail.
func routesOf(round report.Round, judged verdict.Verdict) routes {
	nodes := map[string]string{}
	for _, e := range round.Expected {
		nodes[e.Pod] = e.Node
	}
	results := map[askedTarget]verdict.JudgedPath{}
	for _, a := range judged.Agents {
		for _, p := range a.Paths {
			results[askedTarget{a.Pod, p.Target}] = p
		}
	}
	var all routes
	for _, a := range round.Agents {
		for i := range a.Paths {
			t := &a.Paths[i].Target
			result := results[askedTarget{a.Pod, t.ID}]
			// kube-proxy may leave out the further addresses of all nodes. Further addresses have a rule of their own.
			if t.Further || result.Result != verdict.Pass && result.Result != verdict.Fail {
				continue
			}
			title := t.Kind.Traits().Title
			if t.Interface != "" {
				title = "interface " + t.Interface
			}
			all = append(all,
				route{from: a.Node, to: cmp.Or(t.Node, nodes[t.Pod], t.AtNode), kind: t.Kind, title: title,
					family: t.Family,
					failed: result.Result == verdict.Fail, persistent: result.Reason.Persistent})
		}
	}
	return all
}

// split returns the routes that failed and the routes that passed.
func (all routes) split() (failed, passed routes) {
	return all.filter(func(r route) bool { return r.failed }), all.filter(func(r route) bool { return !r.failed })
}

func (all routes) filter(hold func(route) bool) routes {
	return slices.DeleteFunc(slices.Clone(all), func(r route) bool { return !hold(r) })
}

func (all routes) any(hold func(route) bool) bool { return slices.ContainsFunc(all, hold) }

// betweenPods returns the routes between pods. If these fail, Services fail too for connections that they lead there.
func (all routes) betweenPods() routes {
	return all.filter(func(r route) bool { return r.direct() && r.to != "" })
}

// touches returns a condition that a route begins or ends at the node.
func touches(node string) func(route) bool {
	return func(r route) bool { return r.from == node || r.to == node }
}

// commonEnds returns the nodes, at most two, at which every route begins or ends. Every route must have both ends.
func (all routes) commonEnds() []string {
	if len(all) == 0 {
		return nil
	}
	var nodes []string
	for _, node := range sorted([]string{all[0].from, all[0].to}) {
		if len(all.filter(touches(node))) == len(all) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// values returns the different values of the routes, sorted.
func (all routes) values(value func(route) string) []string {
	var values []string
	for _, r := range all {
		values = append(values, value(r))
	}
	return sorted(values)
}

func from(r route) string     { return r.from }
func title(r route) string    { return r.title }
func inFamily(r route) string { return string(r.family) }

// alike returns the routes that have the kind and the family of some of the others.
func (all routes) alike(others routes) routes {
	titles, families := others.values(title), others.values(inFamily)
	return all.filter(func(r route) bool {
		return slices.Contains(titles, r.title) && slices.Contains(families, string(r.family))
	})
}

// failedOf says how many of the routes failed.
func failedOf(what string, failed, passed routes) string {
	return fmt.Sprintf("%d of %s %s failed", len(failed), plural(len(failed)+len(passed), "path"), what)
}

// betweenTwoNodes finds that every failing route between pods runs between the same two nodes.
func betweenTwoNodes(failed, passed routes) (Finding, bool) {
	pods := failed.betweenPods()
	nodes := pods.commonEnds()
	if len(nodes) != 2 {
		return Finding{}, false
	}
	a, b := nodes[0], nodes[1]
	both := func(r route) bool { return touches(a)(r) && touches(b)(r) }
	alike := passed.alike(pods)
	third := func(node string) bool {
		return alike.any(func(r route) bool { return touches(node)(r) && !both(r) && r.from != r.to })
	}
	found := Finding{Component: BetweenNodes, Where: fmt.Sprintf("nodes %s and %s", a, b), Confidence: Low,
		Nodes: nodes}
	found.Evidence = []string{failedOf("between these two nodes", pods, alike.filter(both))}
	if third(a) && third(b) {
		found.Confidence = Medium
		if len(pods.values(from)) == 2 && !alike.any(both) {
			found.Confidence = High
		}
		found.Evidence = append(found.Evidence, "either of them reaches others, or is reached by them")
	}
	found.Message = fmt.Sprintf("every failing path between pods runs between nodes %s and %s%s; look at the link, "+
		"tunnel or route between them%s",
		a, b, onlyClause(pods, passed.betweenPods()), servicesClause(failed, pods))
	return found, true
}

// servicesClause says that Services may fail for the same reason, if paths through Services failed.
func servicesClause(failed, pods routes) string {
	if len(failed) == len(pods) {
		return ""
	}
	return "; paths through Services may fail for that alone"
}

// oneSource finds that every failing route begins at one node, while other nodes asked too and saw no failure, also not
// on the way to that node.
func oneSource(failed, passed routes) (Finding, bool) {
	node := failed[0].from
	if len(failed.values(from)) > 1 || !passed.alike(failed).any(func(r route) bool { return r.from != node }) {
		return Finding{}, false
	}
	pods := failed.betweenPods()
	others := len(passed.alike(failed).filter(func(r route) bool { return r.from != node }).values(from))
	found := Finding{Where: "node " + node, Confidence: Medium,
		Evidence: []string{failedOf("from this node", failed,
			passed.alike(failed).filter(func(r route) bool { return r.from == node })),
			plural(others, "other node") + " saw no failure"}}
	if len(failed) > 1 && others > 1 {
		found.Confidence = High
	}
	advice := "its routes, firewall and network policies"
	found.Component = PodOrNode
	switch {
	case len(pods) > 0:
	case passed.betweenPods().any(func(r route) bool { return r.from == node }):
		found.Component, advice = ServicePath, "kube-proxy there, or what stands in for it: Pod IPs answer from there"
	default:
		found.Component, advice = Unclear,
			"kube-proxy there, or what stands in for it, and at its network: no Pod IP was "+
				"probed from there"
	}
	found.Message = fmt.Sprintf("every failing path starts at node %s, and no other node sees a failure%s; look at %s",
		node, onlyClause(failed, passed), advice)
	return about(found, node, failed.ends()), true
}

// commonNode finds that every failing route between pods begins or ends at one node. If all routes between pods pass,
// it finds that every failing route is a node port at an address of one node.
func commonNode(failed, passed routes) (Finding, bool) {
	pods := failed.betweenPods()
	if len(pods) == 0 {
		return nodePortsOf(failed, passed)
	}
	nodes := pods.commonEnds()
	if len(nodes) != 1 {
		return Finding{}, false
	}
	node := nodes[0]
	alike := passed.alike(pods)
	elsewhere := alike.filter(func(r route) bool { return !touches(node)(r) && r.from != r.to })
	if len(elsewhere) == 0 {
		return Finding{}, false
	}
	here := alike.filter(func(r route) bool { return touches(node)(r) && r.from != r.to })
	found := Finding{Component: PodOrNode, Where: "node " + node, Confidence: Low, Evidence: []string{
		failedOf("that start or end there", pods, here),
		fmt.Sprintf("all %s between other nodes passed", plural(len(elsewhere), "path"))}}
	switch {
	case len(here) == 0:
		found.Confidence = High
	case len(pods) >= len(here):
		found.Confidence = Medium
	}
	found.Message = fmt.Sprintf(
		"every failing path between pods starts or ends at node %s%s; look at its pod network: "+
			"CNI agent, routes and firewall%s",
		node, onlyClause(pods, passed.betweenPods()), servicesClause(failed, pods))
	return about(found, node, failed.ends()), true
}

func nodePortsOf(failed, passed routes) (Finding, bool) {
	node := failed[0].to
	elsewhere := func(r route) bool { return r.to != node }
	other := func(r route) bool { return r.kind != target.NodePort || r.to != node }
	if node == "" || failed.any(other) || !passed.alike(failed).any(elsewhere) {
		return Finding{}, false
	}
	alike := passed.alike(failed)
	over := ""
	if family := onlyOneFamily(failed, passed); family != "" {
		over = " over " + string(family)
	}
	found := Finding{Component: ServicePath, Where: "node " + node, Confidence: Medium, Evidence: []string{
		failedOf("to its node ports", failed, alike.filter(func(r route) bool { return r.to == node })),
		fmt.Sprintf("all %s to node ports of other nodes passed", plural(len(alike.filter(elsewhere)), "path"))}}
	if len(failed.values(from)) > 1 {
		found.Confidence = High
	}
	found.Message = fmt.Sprintf("every failing path is a node port of node %s%s, and those of other nodes answer; "+
		"look at its firewall and at kube-proxy there", node, over)
	return about(found, node, failed.ends()), true
}

// onlyClause says, as a clause, that the failing routes are of one kind or family while others passed. It is empty if
// that is not so.
func onlyClause(failed, passed routes) string {
	kind, family := onlyTitle(failed, passed), onlyOneFamily(failed, passed)
	switch {
	case kind != "" && family != "":
		return fmt.Sprintf(", and it is only %s over %s", kind, family)
	case kind != "" || family != "":
		return ", and it is only " + kind + string(family)
	}
	return ""
}

// onlyTitle returns the kind of all failing routes if routes of other kinds passed in the same families; else it is
// empty. Several kinds that lead through Services count as one kind if paths between pods passed.
func onlyTitle(failed, passed routes) string {
	titles, families := failed.values(title), failed.values(inFamily)
	other := func(r route) bool {
		return !slices.Contains(titles, r.title) && slices.Contains(families, string(r.family)) &&
			(len(titles) == 1 || r.direct())
	}
	if !passed.any(other) || (len(titles) > 1 && failed.any(route.direct)) {
		return ""
	}
	return strings.Join(titles, ", ")
}

// onlyOneFamily returns the family of all failing routes if routes of the other family passed by the same kinds; else
// it is empty.
func onlyOneFamily(failed, passed routes) topology.Family {
	family := failed[0].family
	titles := failed.values(title)
	other := func(r route) bool { return r.family != family && slices.Contains(titles, r.title) }
	if len(failed.values(inFamily)) > 1 || !passed.any(other) {
		return ""
	}
	return family
}

// onlyKind finds that every failing route is of one kind, and that other kinds passed.
func onlyKind(failed, passed routes) (Finding, bool) {
	kind := onlyTitle(failed, passed)
	if kind == "" {
		return Finding{}, false
	}
	over := ""
	if family := onlyOneFamily(failed, passed); family != "" {
		over = " over " + string(family)
	}
	titles := failed.values(title)
	component, advice := Unclear, "that network, and at network policies"
	if traits := failed[0].kind.Traits(); traits.Component != "" {
		component, advice = Component(traits.Component), traits.Chooser
	}
	if len(titles) > 1 {
		component, advice = ServicePath, target.ClusterIP.Traits().Chooser
	}
	return Finding{Component: component, Where: kind, Confidence: propertyConfidence(failed), Evidence: []string{
		failedOf("of this kind", failed, passed.alike(failed)),
		"other kinds that passed: " +
			firstNames(passed.filter(func(r route) bool { return !slices.Contains(titles, r.title) }).values(title))},
		Message: fmt.Sprintf("every failing path is of kind %s%s, while paths of other kinds pass; look at %s",
			strings.Join(titles, " or "), over, advice)}, true
}

// onlyFamily finds that every failing route is of one family, and that the other family passed.
func onlyFamily(failed, passed routes) (Finding, bool) {
	family := onlyOneFamily(failed, passed)
	if family == "" {
		return Finding{}, false
	}
	advice := "its routes and firewall rules"
	if family == topology.IPv6 {
		advice += ", and at neighbour discovery"
	}
	return Finding{Component: Unclear, Where: string(family), Confidence: propertyConfidence(failed),
			Evidence: []string{
				failedOf("over "+string(family), failed,
					passed.filter(func(r route) bool { return r.family == family })),
				fmt.Sprintf("all %s over the other family passed",
					plural(len(passed.filter(func(r route) bool { return r.family != family })), "path"))},
			Message: fmt.Sprintf("every failing path is over %s, while the other family passes; look at %s", family,
				advice)},
		true
}

// propertyConfidence returns how sure it is that the failures come from their common property: high if several nodes
// saw failures.
func propertyConfidence(failed routes) Confidence {
	if len(failed.values(from)) > 1 {
		return High
	}
	return Medium
}
