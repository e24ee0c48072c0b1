package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

const (
	// byDesignCause is the cause of failures that a policy object explains.
	byDesignCause = "NetworkPolicyObject"
	// mostlyFails is the share of what an object denies that has to fail: less, and the object is not in force.
	mostlyFails = 0.9
	// fewestDenied is how many probes and requests an object has to deny to explain anything.
	fewestDenied = 4
	// mostDenied is how many nodes a finding about policy objects names at most.
	mostDenied = 100
)

// design is what policy objects deny, beside what was seen.
type design struct {
	flows  flows
	book   rulebook
	claims []*designClaim
	// into and outOf are the nodes whose agents' pods others asked, and whose pods asked.
	into, outOf map[string]bool
}

// designClaim collects what the same objects deny in the same direction.
type designClaim struct {
	denial
	// sure are observations of which it is certain that the objects apply, others those where it depends on the
	// implementation: what comes from hosts, or through Services. seen are indexes of the observations of both.
	sure, others outcomes
	seen         []int
	// nodes are those of the restricted pods, what says what is denied and failed, without repetition.
	nodes map[string]bool
	what  []string
	// requests reports that counted requests, or others like them, are denied and failed.
	requests bool
}

type outcomes struct{ sent, failed uint64 }

func (t outcomes) fails() bool {
	return t.failed >= fewestDenied && float64(t.failed) >= mostlyFails*float64(t.sent)
}

// explains reports whether the objects are why this failed.
func (c *designClaim) explains() bool {
	if c.sure.sent > 0 {
		return c.sure.fails()
	}
	return c.others.fails()
}

// planned compares what was seen with the cluster's policy objects. Agents that were themselves the limit say nothing.
func planned(cluster Cluster, seen []ladder.Observation, suspect map[string]bool) *design {
	d := &design{flows: newFlows(cluster.snapshot), book: rulebook{cluster.snapshot.Policies.Objects},
		into: map[string]bool{}, outOf: map[string]bool{}}
	if len(d.book.policies) == 0 {
		return d
	}
	for i := range seen {
		if o := &seen[i]; !suspect[o.From] && !suspect[o.To] {
			d.note(i, o)
		}
	}
	return d
}

// note adds the observation to the claim about the objects that deny it, if any do.
func (d *design) note(index int, o *ladder.Observation) {
	all, sure := d.flows.of(o)
	if o.Rung == ladder.PodToPod {
		d.outOf[o.From], d.into[o.To] = true, true
	}
	for _, f := range all {
		by, ok := d.book.denies(f)
		if !ok {
			continue
		}
		c := d.claim(by)
		c.seen = append(c.seen, index)
		counts := &c.others
		if sure {
			counts = &c.sure
		}
		counts.sent, counts.failed = counts.sent+o.Sent, counts.failed+o.Failed()
		subject := f.from
		if by.ingress {
			subject = f.to
		}
		if o.Failed() > 0 {
			c.nodes[subject.agent.Node] = true
			c.what = with(c.what, asks(o.Rung, f))
			c.requests = c.requests || o.Method == ladder.HTTP
		}
		return
	}
}

func (d *design) claim(by denial) *designClaim {
	i := slices.IndexFunc(d.claims, func(c *designClaim) bool {
		return c.ingress == by.ingress && c.expressly == by.expressly && slices.Equal(c.objects, by.objects)
	})
	if i < 0 {
		d.claims = append(d.claims, &designClaim{denial: by, nodes: map[string]bool{}})
		i = len(d.claims) - 1
	}
	return d.claims[i]
}

func with(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// asks names what a flow asks.
func asks(rung ladder.Rung, f flow) string {
	what := f.protocol
	switch {
	case f.protocol == "":
		what = "echo requests"
	case f.port != 0:
		what = fmt.Sprintf("%s port %d", f.protocol, f.port)
	}
	switch rung {
	case ladder.DNSPod, ladder.DNSService:
		what += " (DNS)"
	case ladder.APIServer:
		what += " (API server)"
	}
	return what
}

// explained returns what was seen without the failures that objects explain, and a finding for each such claim.
func (d *design) explained(seen []ladder.Observation) (left []ladder.Observation, found []Finding) {
	gone := map[int]bool{}
	for _, c := range d.claims {
		if !c.explains() || d.otherwiseBroken(c, seen) {
			continue
		}
		for _, i := range c.seen {
			if seen[i].Failed() > 0 {
				gone[i] = true
			}
		}
		found = append(found, d.finding(c, seen))
	}
	if len(gone) == 0 {
		return seen, nil
	}
	for i := range seen {
		if !gone[i] {
			left = append(left, seen[i])
		}
	}
	return left, found
}

// otherwiseBroken reports whether what the objects admit fails at the same nodes as well, while other nodes are well:
// then something else is broken there, and nobody knows what the objects do.
func (d *design) otherwiseBroken(c *designClaim, seen []ladder.Observation) bool {
	if d.everywhere(c) {
		return false
	}
	denied := map[int]bool{}
	for _, other := range d.claims {
		for _, i := range other.seen {
			denied[i] = true
		}
	}
	var there outcomes
	for i := range seen {
		o := &seen[i]
		between := o.Rung == ladder.PodToPod || o.Rung == ladder.PodToHost || o.Rung == ladder.HostToPod
		if between && !denied[i] && (c.nodes[o.From] || c.nodes[o.To]) {
			there.sent, there.failed = there.sent+o.Sent, there.failed+o.Failed()
		}
	}
	return 2*there.failed > there.sent
}

// finding says that objects deny what failed.
func (d *design) finding(c *designClaim, seen []ladder.Observation) Finding {
	part, of := infer.PolicyOut, "from"
	if c.ingress {
		part, of = infer.PolicyIn, "to"
	}
	row := partOf(part)
	counts := c.sure
	found := Finding{Reason: row.reason, Component: Component(part), Where: d.where(c),
		Cause: byDesignCause, Probability: 0.95, Confidence: High, Command: d.get(c.objects[0]),
		Falsify: "it fails as well with a rule that admits it"}
	if c.sure.sent == 0 {
		counts, found.Probability, found.Confidence = c.others, 0.7, Medium
	}
	found.Message = fmt.Sprintf("%s (%s): by design: %s %s %s %s the agents' pods (%d of %d such probes and requests "+
		"failed); look at %s, and admit this traffic if the agents are to have it", part, found.Where,
		d.titles(c.objects), c.verb(), firstNames(c.what), of, counts.failed, counts.sent, d.get(c.objects[0]))
	found.Evidence = d.evidence(c, seen)
	nodes := slices.Sorted(maps.Keys(c.nodes))
	if len(nodes) == 1 {
		var failed []ends
		for _, i := range c.seen {
			failed = append(failed, ends{seen[i].From, cmp.Or(seen[i].To, seen[i].At), string(seen[i].Rung)})
		}
		return about(found, nodes[0], failed)
	}
	if c.requests && len(nodes) <= mostDenied {
		// What failed requests have in common besides says no more.
		found.Nodes = nodes
	}
	return found
}

// everywhere reports whether the objects deny it at all nodes that were probed.
func (d *design) everywhere(c *designClaim) bool {
	probed := d.outOf
	if c.ingress {
		probed = d.into
	}
	for node := range probed {
		if !c.nodes[node] {
			return false
		}
	}
	return true
}

// where names the nodes of the restricted pods.
func (d *design) where(c *designClaim) string {
	nodes := slices.Sorted(maps.Keys(c.nodes))
	switch {
	case len(nodes) == 1:
		return "node " + nodes[0]
	case d.everywhere(c):
		return allNodes
	}
	return "nodes " + firstNames(nodes)
}

// verb is what the objects do.
func (c *designClaim) verb() string {
	switch {
	case c.expressly:
		return "denies"
	case len(c.objects) > 1:
		return "do not admit"
	}
	return "does not admit"
}

// titles names the objects.
func (d *design) titles(objects []int) string {
	var names []string
	for _, i := range objects {
		names = append(names, d.book.policies[i].Title())
	}
	return firstNames(names)
}

// get is the command that shows an object.
func (d *design) get(object int) string {
	p := d.book.policies[object]
	command := "kubectl get " + strings.ToLower(p.Kind) + " " + p.Name + " -o yaml"
	if p.Namespace != "" {
		command += " -n " + p.Namespace
	}
	return command
}

// evidence has the counts of what the objects deny by rung, and of what they admit.
func (d *design) evidence(c *designClaim, seen []ladder.Observation) []string {
	rungs := map[ladder.Rung]*outcomes{}
	var order []ladder.Rung
	how := map[ladder.Failure]uint64{}
	for _, i := range c.seen {
		o := &seen[i]
		if rungs[o.Rung] == nil {
			rungs[o.Rung] = &outcomes{}
			order = append(order, o.Rung)
		}
		rungs[o.Rung].sent += o.Sent
		rungs[o.Rung].failed += o.Failed()
		for failure, n := range o.Failures {
			how[failure] += n
		}
	}
	slices.Sort(order)
	lines := []string{d.titles(c.objects) + " " + c.verb() + " this: " + kindsOf(how)}
	for _, rung := range order {
		lines = append(lines, fmt.Sprintf("%s, denied: %d of %d failed", RungTitle(rung), rungs[rung].failed,
			rungs[rung].sent))
	}
	return lines
}
