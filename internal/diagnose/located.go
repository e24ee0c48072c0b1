package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Locate finds the faulty components that explain the ladder's probes and the round's counted requests. It returns what
// the ladder cost and saw, and a finding for each fault, the one that explains most first.
func Locate(round report.Round, judged verdict.Verdict, climbed []ladder.Observation,
	cluster Cluster) (*report.Ladder, []Finding) {
	return LocateAfter(nil, round, judged, climbed, cluster)
}

// LocateAfter is Locate for a task of which past rounds are known. By them it expects as many losses as the network has
// without a fault, and finds paths that have become slow. What it returns of the ladder says what this round was like,
// for later rounds.
func LocateAfter(past Past, round report.Round, judged verdict.Verdict, climbed []ladder.Observation,
	cluster Cluster) (*report.Ladder, []Finding) {
	seen := untouched(climbed, round.Churn)
	if !round.HasSums() {
		// Of many paths a report lists those that failed: they say nothing without those that passed.
		seen = slices.Concat(seen, observed(round, judged, cluster))
	}
	seen, found := local(cluster.snapshot, seen)
	meant := planned(cluster, seen, suspects(judged))
	left, denied := meant.explained(seen)
	found = append(found, denied...)
	l := locator{cluster: cluster, round: &round, seen: left, design: meant}
	faults, background := l.search(suspects(judged), past.background())
	l.faults = slices.DeleteFunc(slices.Clone(faults), func(f infer.Fault) bool { return !l.lasts(f) })
	for _, f := range l.faults {
		if !l.behind(f) && !stale(f, round) {
			found = append(found, l.finding(f))
		}
	}
	lossy, tooMuch := l.lostEverywhere(suspects(judged), background, past.background())
	found = append(found, lossy...)
	found = slices.Concat(found, starved(suspects(judged), seen), limited(judged))
	late, slow := l.slow(suspects(judged), past)
	found = append(found, slow...)
	spent := summary(climbed, cluster)
	spent.SmallestLoss = smallest(seen, background)
	if !tooMuch && !slices.ContainsFunc(slow, everywhere) {
		spent.Usual = l.usual(blame(faults, left), late, suspects(judged))
	}
	return spent, found
}

// locator makes findings of faults.
type locator struct {
	cluster Cluster
	round   *report.Round
	seen    []ladder.Observation
	faults  []infer.Fault
	// design is what policy objects deny; their part of the failures is not in seen.
	design *design
}

// lasts reports whether the fault was there more than for a moment: counted requests failed as well, or probes failed
// in more than one pass.
func (l locator) lasts(f infer.Fault) bool {
	return slices.ContainsFunc(f.Observations(), func(i int) bool {
		return l.seen[i].Counted || l.seen[i].FailedPasses > 1
	}) || l.failedRequestsAcross(f) >= fewRequests
}

// fewRequests is how many counted requests through a Service must have failed, of those that may have crossed a fault
// of single paths, to say that the fault was there during the load.
const fewRequests = 2

// failedRequestsAcross counts the failed requests through Services of askers at the fault's node that may have been led
// to others, and of others that may have been led there; between two nodes, those of either that may have been led to
// the other.
func (l locator) failedRequestsAcross(f infer.Fault) (n uint64) {
	c := f.Component
	if c.Node == "" || c.Part == infer.ZonePair || c.Part == infer.ZonePodPair {
		return 0
	}
	for i := range l.seen {
		o := &l.seen[i]
		if !o.Counted || len(o.Backends) == 0 {
			continue
		}
		asks := func(node string) bool { return o.From == node || o.At == node }
		answers := func(node string) bool { return slices.Contains(o.Backends, node) }
		switch {
		case c.Peer == "" && (asks(c.Node) || answers(c.Node)),
			c.Peer != "" && (asks(c.Node) && answers(c.Peer) || asks(c.Peer) && answers(c.Node)):
			n += o.Failed()
		}
	}
	return n
}

// finding says a fault to people.
func (l locator) finding(f infer.Fault) Finding {
	all := append([]infer.Component{f.Component}, f.Group...)
	row := partOf(f.Component.Part)
	found := Finding{Reason: row.reason, Component: Component(names(all)), Where: l.places(all),
		Nodes: nodesAt(f.Component), Probability: rounded(f.Confidence), Confidence: confidenceOf(f),
		Evidence: l.evidence(f), Command: l.command(f)}
	c := l.withoutObject(f, l.causeOf(f))
	found.Cause = c.word
	found.Evidence = slices.Concat(found.Evidence, l.objectEvidence(f, c), labelEvidence(f), l.goneEvidence(f))
	each := []memberCause{{f.Component, c}}
	if len(f.Group) > 0 && !f.Aspect.Large {
		each = l.causesOf(f, c)
		found.Cause, found.Causes = differing(each)
	}
	found.Message = l.message(f, each, all)
	found.Against, found.RunnerUp = l.against(f), runnerUp(f)
	found.Falsify = row.falsify
	if len(found.Nodes) != 1 {
		return found
	}
	var failed []ends
	for _, i := range f.Observations() {
		o := &l.seen[i]
		failed = append(failed, ends{o.From, cmp.Or(o.To, o.At), string(o.Rung)})
	}
	return about(found, found.Nodes[0], failed)
}

func rounded(p float64) float64 { return math.Round(p*100) / 100 }

// confidenceOf turns a probability into a degree.
func confidenceOf(f infer.Fault) Confidence {
	switch {
	case f.Confidence >= 0.9:
		return High
	case f.Confidence >= 0.6:
		return Medium
	}
	return Low
}

// names joins the names of the parts, each once.
func names(all []infer.Component) string {
	var parts []string
	for _, c := range all {
		if !slices.Contains(parts, string(c.Part)) {
			parts = append(parts, string(c.Part))
		}
	}
	return strings.Join(parts, " or ")
}

// nodesAt returns the nodes of a component.
func nodesAt(c infer.Component) []string {
	switch c.Part {
	case infer.ZonePair, infer.ZonePodPair:
		return nil
	}
	var nodes []string
	for _, node := range []string{c.Node, c.Peer} {
		if node != "" {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// where names the place of a component.
func (l locator) where(c infer.Component) string {
	switch {
	case c.Part == infer.ZonePair || c.Part == infer.ZonePodPair:
		return fmt.Sprintf("zones %s and %s", c.Node, c.Peer)
	case c.Peer != "":
		return fmt.Sprintf("nodes %s and %s", c.Node, c.Peer)
	case c.Part == infer.DNSServer && c.Node != "":
		return fmt.Sprintf("pod %s on node %s", c.Service, c.Node)
	case c.Part == infer.Agent || c.Part == infer.Endpoint && c.Node != "":
		if pod := l.podOn(c.Node); pod != "" {
			return fmt.Sprintf("pod %s on node %s", pod, c.Node)
		}
		return "node " + c.Node
	case c.Node != "":
		return "node " + c.Node
	case c.Part == infer.Service || c.Part == infer.Endpoint:
		return "all nodes"
	case c.Service != "":
		return c.Service
	}
	return string(c.Part)
}

// podOn returns the agent's pod on the node; empty if it is not known.
func (l locator) podOn(node string) string { return l.cluster.Agents[node] }

// message is the finding in one sentence.
func (l locator) message(f infer.Fault, causes []memberCause, all []infer.Component) string {
	subject := l.subject(all)
	text := fmt.Sprintf("%s: %s", subject, causes[0].says)
	if len(f.Group) > 0 && !f.Aspect.Large {
		text = fmt.Sprintf("%s: %s; the probes cannot tell which of them it is", subject, lossOf(f))
		if l.cluster.Hosts == 0 {
			text += " without agents in the nodes' host networks (hostAgent.enabled in the chart)"
		}
	}
	if aspect := aspectOf(f.Aspect); aspect != "" {
		text += ", " + aspect + " only"
	}
	return text + "; " + advice(causes)
}

// aspectOf says which traffic a fault affects; empty for all.
func aspectOf(a infer.Aspect) string {
	var words []string
	for _, w := range []string{a.Family, a.Method} {
		if w != "" {
			words = append(words, w)
		}
	}
	if a.Large {
		words = append(words, "full-size packets")
	}
	return strings.Join(words, " ")
}

// lossOf says how much of what crosses the component fails.
func lossOf(f infer.Fault) string {
	if f.Severity > 0.98 {
		return fmt.Sprintf("all %d probes and requests across it failed", f.Explained)
	}
	return fmt.Sprintf("%.3g%% of the probes and requests across it failed, %d of %d", 100*f.Severity, f.Explained,
		f.Crossed)
}

// evidence has the counts of each rung that touches the fault's place, those that failed first.
func (l locator) evidence(f infer.Fault) []string {
	type sum struct {
		rung       ladder.Rung
		sent, lost uint64
		how        map[ladder.Failure]uint64
	}
	sums := map[ladder.Rung]*sum{}
	for i := range l.seen {
		o := &l.seen[i]
		if !l.near(o, f.Component) {
			continue
		}
		s := sums[o.Rung]
		if s == nil {
			s = &sum{rung: o.Rung, how: map[ladder.Failure]uint64{}}
			sums[o.Rung] = s
		}
		s.sent += o.Sent
		s.lost += o.Failed()
		for failure, n := range o.Failures {
			s.how[failure] += n
		}
	}
	rows := slices.Collect(maps.Values(sums))
	slices.SortFunc(rows, func(a, b *sum) int {
		return cmp.Or(cmp.Compare(b.lost*1000/b.sent, a.lost*1000/a.sent), cmp.Compare(a.rung, b.rung))
	})
	var all, clean []string
	for _, s := range rows {
		if s.lost == 0 {
			clean = append(clean, fmt.Sprintf("%s %d of %d", RungTitle(s.rung), s.sent, s.sent))
			continue
		}
		line := fmt.Sprintf("%s: %d of %d answered", RungTitle(s.rung), s.sent-s.lost, s.sent)
		all = append(all, line+" ("+kindsOf(s.how)+")")
	}
	if len(clean) > 0 {
		all = append(all, "clean: "+strings.Join(clean, ", "))
	}
	if m, ok := l.momentsOf(f); ok && m.evidence() != "" {
		all = append(all, m.evidence())
	}
	if mtu := l.pathMTU(f); mtu > 0 {
		all = append(all, fmt.Sprintf("the largest packet that arrived has %d bytes", mtu))
	}
	return all
}

// kindsOf lists how probes failed, the most frequent first.
func kindsOf(how map[ladder.Failure]uint64) string {
	kinds := slices.Collect(maps.Keys(how))
	slices.SortFunc(kinds, func(a, b ladder.Failure) int {
		return cmp.Or(cmp.Compare(how[b], how[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, k := range kinds {
		words = append(words, fmt.Sprintf("%d %s", how[k], k))
	}
	return strings.Join(words, ", ")
}

// near reports whether the observation is about the component's place.
func (l locator) near(o *ladder.Observation, c infer.Component) bool {
	at := func(node string) bool { return node == o.From || node == o.To || node == o.At }
	switch {
	case c.Part == infer.ZonePair || c.Part == infer.ZonePodPair:
		a, b := l.cluster.Zones[o.From], l.cluster.Zones[o.To]
		return a == c.Node && b == c.Peer || a == c.Peer && b == c.Node
	case c.Peer != "":
		return at(c.Node) && at(c.Peer)
	case c.Node != "":
		return at(c.Node)
	case c.Service != "":
		return o.Service == c.Service
	}
	return true
}

// pathMTU is the size of the largest packet that arrived on a path that the fault explains; 0 if no size was found.
func (l locator) pathMTU(f infer.Fault) int {
	least, hosts := 0, 0
	for _, i := range f.Observations() {
		o := &l.seen[i]
		if o.PathMTU == 0 {
			continue
		}
		if least == 0 || o.PathMTU < least {
			least = o.PathMTU
		}
		if o.Rung == ladder.HostToHost && (hosts == 0 || o.PathMTU < hosts) {
			hosts = o.PathMTU
		}
	}
	// Packets between pods are smaller by the header of the tunnel that carries them.
	return cmp.Or(hosts, least)
}

// against says what speaks against the finding.
func (l locator) against(f infer.Fault) []string {
	if passed := f.Crossed - min(f.Crossed, f.Explained); passed > 0 && f.Severity > 0.98 {
		return []string{fmt.Sprintf("%d probes or requests across it succeeded", passed)}
	}
	return nil
}

func runnerUp(f infer.Fault) string {
	if f.RunnerUp.Part == "" {
		return ""
	}
	place := cmp.Or(strings.Join(nodesAt(f.RunnerUp), " and "), f.RunnerUp.Service)
	return strings.TrimSpace(fmt.Sprintf("%s %s", f.RunnerUp.Part, place)) +
		fmt.Sprintf(", %.0f nats behind", min(f.Behind, 9999))
}
