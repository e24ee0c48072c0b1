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

// Localise says what the paths that failed have in common, and paths that passed have not: a node, two nodes, a source,
// a kind of path or a family. It knows no more than which paths failed. There is one such finding at most, and none
// where the failures have nothing in common; that nothing but persistent connections fails is one more.
func Localise(round report.Round, judged verdict.Verdict) []Finding {
	failed, passed := routesOf(round, judged).apart()
	if len(failed) == 0 {
		return nil
	}
	var all []Finding
	rules := append(places(), properties()...)
	if found, ok := onlyPersistent(failed); ok {
		// Such requests are not judged on all kinds of paths, so that the kind says nothing.
		all, rules = append(all, found), places()
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

// onlyPersistent is that all paths fail for nothing but requests over a persistent connection.
func onlyPersistent(failed routes) (Finding, bool) {
	if failed.any(func(r route) bool { return !r.persistent }) {
		return Finding{}, false
	}
	return Finding{Reason: onlyPersistentReason, Component: Unclear, Where: "persistent connections",
		Confidence: spreadOut(failed),
		Message: "every failing path fails for its persistent connection alone, while new connections are well; look for " +
			"what ends idle connections on the way, such as connection tracking, NAT or a firewall",
		Evidence: []string{plural(len(failed), "path") + " failed, each for its persistent connection alone"}}, true
}

// place is a rule about what failed routes have in common.
type place struct {
	reason string
	find   func(failed, passed routes) (Finding, bool)
}

// places is the table of those that name nodes, properties that of the others; the first that fits says most.
func places() []place {
	return []place{{"BetweenTwoNodes", betweenTwoNodes}, {"OneSource", oneSource}, {"CommonNode", commonNode}}
}

func properties() []place { return []place{{"OnlyKind", onlyKind}, {"OnlyFamily", onlyFamily}} }

// route is one path that was judged to have passed or failed.
type route struct {
	// from is the node that asked, to the node of the pod, or of the address, that ought to answer; to is empty where
	// any of several may.
	from, to string
	kind     target.Kind
	// title is the kind's name for people, with the interface where there is one.
	title  string
	family topology.Family
	failed bool
	// persistent reports that the path failed for the requests over its persistent connection alone.
	persistent bool
}

// direct reports whether nothing stands between the two pods but the network.
func (r route) direct() bool { return r.kind.Traits().Direct }

type routes []route

// routesOf are those of all paths on which enough was measured to pass or fail.
func routesOf(round report.Round, judged verdict.Verdict) routes {
	nodes := map[string]string{}
	for _, e := range round.Expected {
		nodes[e.Pod] = e.Node
	}
	results := map[asked]verdict.Path{}
	for _, a := range judged.Agents {
		for _, p := range a.Paths {
			results[asked{a.Pod, p.Target}] = p
		}
	}
	var all routes
	for _, a := range round.Agents {
		for i := range a.Paths {
			t := &a.Paths[i].Target
			result := results[asked{a.Pod, t.ID}]
			// kube-proxy may leave out the further addresses of all nodes: they have a rule of their own.
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

// apart are the routes that failed and those that passed.
func (all routes) apart() (failed, passed routes) {
	return all.that(func(r route) bool { return r.failed }), all.that(func(r route) bool { return !r.failed })
}

func (all routes) that(hold func(route) bool) routes {
	return slices.DeleteFunc(slices.Clone(all), func(r route) bool { return !hold(r) })
}

func (all routes) any(hold func(route) bool) bool { return slices.ContainsFunc(all, hold) }

// between are the routes between pods. Where these fail, Services fail for the connections that they lead there.
func (all routes) between() routes {
	return all.that(func(r route) bool { return r.direct() && r.to != "" })
}

// touch reports whether a route begins or ends at the node.
func touch(node string) func(route) bool {
	return func(r route) bool { return r.from == node || r.to == node }
}

// ends are the nodes, at most two, at which every route begins or ends; all have both ends.
func (all routes) ends() []string {
	if len(all) == 0 {
		return nil
	}
	var nodes []string
	for _, node := range sorted([]string{all[0].from, all[0].to}) {
		if len(all.that(touch(node))) == len(all) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// each are the different values of the routes, sorted.
func (all routes) each(value func(route) string) []string {
	var values []string
	for _, r := range all {
		values = append(values, value(r))
	}
	return sorted(values)
}

func from(r route) string     { return r.from }
func title(r route) string    { return r.title }
func inFamily(r route) string { return string(r.family) }

// like are the routes that have the kind and the family of some of the others.
func (all routes) like(others routes) routes {
	titles, families := others.each(title), others.each(inFamily)
	return all.that(func(r route) bool {
		return slices.Contains(titles, r.title) && slices.Contains(families, string(r.family))
	})
}

// tallied says how many of the routes failed.
func tallied(what string, failed, passed routes) string {
	return fmt.Sprintf("%d of %s %s failed", len(failed), plural(len(failed)+len(passed), "path"), what)
}

// betweenTwoNodes is that every failing route between pods runs between the same two nodes.
func betweenTwoNodes(failed, passed routes) (Finding, bool) {
	pods := failed.between()
	nodes := pods.ends()
	if len(nodes) != 2 {
		return Finding{}, false
	}
	a, b := nodes[0], nodes[1]
	both := func(r route) bool { return touch(a)(r) && touch(b)(r) }
	alike := passed.like(pods)
	third := func(node string) bool {
		return alike.any(func(r route) bool { return touch(node)(r) && !both(r) && r.from != r.to })
	}
	found := Finding{Component: BetweenNodes, Where: fmt.Sprintf("nodes %s and %s", a, b), Confidence: Low}
	found.Evidence = []string{tallied("between these two nodes", pods, alike.that(both))}
	if third(a) && third(b) {
		found.Confidence = Medium
		if len(pods.each(from)) == 2 && !alike.any(both) {
			found.Confidence = High
		}
		found.Evidence = append(found.Evidence, "either of them reaches others, or is reached by them")
	}
	found.Message = fmt.Sprintf("every failing path between pods runs between nodes %s and %s%s; look at the link, "+
		"tunnel or route between them%s",
		a, b, only(pods, passed.between()), services(failed, pods))
	return found, true
}

// services says that Services may fail for the same reason, where they do.
func services(failed, pods routes) string {
	if len(failed) == len(pods) {
		return ""
	}
	return "; paths through Services may fail for that alone"
}

// oneSource is that every failing route begins at one node, and that others were asked from and saw nothing, also not
// on the way there.
func oneSource(failed, passed routes) (Finding, bool) {
	node := failed[0].from
	if len(failed.each(from)) > 1 || !passed.like(failed).any(func(r route) bool { return r.from != node }) {
		return Finding{}, false
	}
	pods := failed.between()
	others := len(passed.like(failed).that(func(r route) bool { return r.from != node }).each(from))
	found := Finding{Where: "node " + node, Confidence: Medium,
		Evidence: []string{tallied("from this node", failed,
			passed.like(failed).that(func(r route) bool { return r.from == node })),
			plural(others, "other node") + " saw no failure"}}
	if len(failed) > 1 && others > 1 {
		found.Confidence = High
	}
	advice := "its routes, firewall and network policies"
	found.Component = PodOrNode
	switch {
	case len(pods) > 0:
	case passed.between().any(func(r route) bool { return r.from == node }):
		found.Component, advice = ServicePath, "kube-proxy there, or what stands in for it: Pod IPs answer from there"
	default:
		found.Component, advice = Unclear,
			"kube-proxy there, or what stands in for it, and at its network: no Pod IP was "+
				"probed from there"
	}
	found.Message = fmt.Sprintf("every failing path starts at node %s, and no other node sees a failure%s; look at %s",
		node, only(failed, passed), advice)
	return found, true
}

// commonNode is that every failing route between pods begins or ends at one node; or, where these pass, that every
// failing route is a node port at an address of one node.
func commonNode(failed, passed routes) (Finding, bool) {
	pods := failed.between()
	if len(pods) == 0 {
		return nodePortsOf(failed, passed)
	}
	nodes := pods.ends()
	if len(nodes) != 1 {
		return Finding{}, false
	}
	node := nodes[0]
	alike := passed.like(pods)
	elsewhere := alike.that(func(r route) bool { return !touch(node)(r) && r.from != r.to })
	if len(elsewhere) == 0 {
		return Finding{}, false
	}
	here := alike.that(func(r route) bool { return touch(node)(r) && r.from != r.to })
	found := Finding{Component: PodOrNode, Where: "node " + node, Confidence: Low, Evidence: []string{
		tallied("that start or end there", pods, here),
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
		node, only(pods, passed.between()), services(failed, pods))
	return found, true
}

func nodePortsOf(failed, passed routes) (Finding, bool) {
	node := failed[0].to
	elsewhere := func(r route) bool { return r.to != node }
	other := func(r route) bool { return r.kind != target.NodePort || r.to != node }
	if node == "" || failed.any(other) || !passed.like(failed).any(elsewhere) {
		return Finding{}, false
	}
	alike := passed.like(failed)
	over := ""
	if family := onlyOneFamily(failed, passed); family != "" {
		over = " over " + string(family)
	}
	found := Finding{Component: ServicePath, Where: "node " + node, Confidence: Medium, Evidence: []string{
		tallied("to its node ports", failed, alike.that(func(r route) bool { return r.to == node })),
		fmt.Sprintf("all %s to node ports of other nodes passed", plural(len(alike.that(elsewhere)), "path"))}}
	if len(failed.each(from)) > 1 {
		found.Confidence = High
	}
	found.Message = fmt.Sprintf("every failing path is a node port of node %s%s, and those of other nodes answer; "+
		"look at its firewall and at kube-proxy there", node, over)
	return found, true
}

// only says, as a clause, that the failing routes are of one kind or family while others passed; empty when that cannot
// be said.
func only(failed, passed routes) string {
	kind, family := onlyTitle(failed, passed), onlyOneFamily(failed, passed)
	switch {
	case kind != "" && family != "":
		return fmt.Sprintf(", and it is only %s over %s", kind, family)
	case kind != "" || family != "":
		return ", and it is only " + kind + string(family)
	}
	return ""
}

// onlyTitle is the kind of all failing routes, where routes of others passed in the same families; empty otherwise.
// Several kinds that lead through Services count as one where paths between pods passed.
func onlyTitle(failed, passed routes) string {
	titles, families := failed.each(title), failed.each(inFamily)
	other := func(r route) bool {
		return !slices.Contains(titles, r.title) && slices.Contains(families, string(r.family)) &&
			(len(titles) == 1 || r.direct())
	}
	if !passed.any(other) || (len(titles) > 1 && failed.any(route.direct)) {
		return ""
	}
	return strings.Join(titles, ", ")
}

// onlyOneFamily is the family of all failing routes, where routes of the other passed by the same kinds; empty
// otherwise.
func onlyOneFamily(failed, passed routes) topology.Family {
	family := failed[0].family
	titles := failed.each(title)
	other := func(r route) bool { return r.family != family && slices.Contains(titles, r.title) }
	if len(failed.each(inFamily)) > 1 || !passed.any(other) {
		return ""
	}
	return family
}

// onlyKind is that every failing route is of one kind, and that others passed.
func onlyKind(failed, passed routes) (Finding, bool) {
	kind := onlyTitle(failed, passed)
	if kind == "" {
		return Finding{}, false
	}
	over := ""
	if family := onlyOneFamily(failed, passed); family != "" {
		over = " over " + string(family)
	}
	titles := failed.each(title)
	component, advice := Unclear, "that network, and at network policies"
	if traits := failed[0].kind.Traits(); traits.Component != "" {
		component, advice = Component(traits.Component), traits.Chooser
	}
	if len(titles) > 1 {
		component, advice = ServicePath, target.ClusterIP.Traits().Chooser
	}
	return Finding{Component: component, Where: kind, Confidence: spreadOut(failed), Evidence: []string{
		tallied("of this kind", failed, passed.like(failed)),
		"other kinds that passed: " +
			several(passed.that(func(r route) bool { return !slices.Contains(titles, r.title) }).each(title))},
		Message: fmt.Sprintf("every failing path is of kind %s%s, while paths of other kinds pass; look at %s",
			strings.Join(titles, " or "), over, advice)}, true
}

// onlyFamily is that every failing route is of one family, and that the other passed.
func onlyFamily(failed, passed routes) (Finding, bool) {
	family := onlyOneFamily(failed, passed)
	if family == "" {
		return Finding{}, false
	}
	advice := "its routes and firewall rules"
	if family == topology.IPv6 {
		advice += ", and at neighbour discovery"
	}
	return Finding{Component: Unclear, Where: string(family), Confidence: spreadOut(failed), Evidence: []string{
			tallied("over "+string(family), failed, passed.that(func(r route) bool { return r.family == family })),
			fmt.Sprintf("all %s over the other family passed",
				plural(len(passed.that(func(r route) bool { return r.family != family })), "path"))},
			Message: fmt.Sprintf("every failing path is over %s, while the other family passes; look at %s", family,
				advice)},
		true
}

// spreadOut is how sure a property is the failures' own: several nodes saw some.
func spreadOut(failed routes) Confidence {
	if len(failed.each(from)) > 1 {
		return High
	}
	return Medium
}
