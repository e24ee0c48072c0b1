package diagnose

import (
	"fmt"
	"strings"

	"kdoctor.io/kdoctor/internal/infer"
)

// filters reports whether policy objects may be what the fault is about.
func filters(f infer.Fault, c cause) bool {
	switch f.Component.Part {
	case infer.PolicyIn, infer.PolicyOut, infer.PolicyPair:
		return true
	}
	return c.word == "PolicyDeniesDNS"
}

// withoutObject adds to the cause of a filter that no policy object is that filter, if that is known.
func (l locator) withoutObject(f infer.Fault, c cause) cause {
	if says, _ := l.unexplained(f); filters(f, c) && says != "" {
		c.says += says
		c.look = "what filters beside policy objects: policies of the CNI's own kinds, and the nodes' firewalls"
	}
	return c
}

// objectEvidence says what is known of policy objects where the fault is a filter.
func (l locator) objectEvidence(f infer.Fault, c cause) []string {
	if _, evidence := l.unexplained(f); filters(f, c) && evidence != "" {
		return []string{evidence}
	}
	return nil
}

// unexplained says that no object denies what the fault explains: in the message, and as evidence. Both are empty where
// nobody looked.
func (l locator) unexplained(f infer.Fault) (says, evidence string) {
	p := l.design.flows.policies
	beside := l.beside(f)
	switch {
	case len(p.Unread) > 0:
		return "", "whether a policy object denies this is not known: " + strings.Join(p.Unread, "; ")
	case !p.Read:
		return "", ""
	case len(beside) > 0:
		return "", strings.Join(beside, "; ")
	case p.Omitted > 0:
		return "", fmt.Sprintf("none of %s denies this; %d more were not looked at", plural(len(p.Objects),
			"policy object"), p.Omitted)
	}
	return ", and no NetworkPolicy object explains it", "no NetworkPolicy, and no policy object of the whole cluster, " +
		"denies this"
}

// beside has a clause for each object that denies what the fault explains, and that is not why it fails.
func (l locator) beside(f infer.Fault) (clauses []string) {
	d := l.design
	for _, i := range f.Observations() {
		all, _ := d.flows.of(&l.seen[i])
		for _, one := range all {
			by, ok := d.book.denies(one)
			if !ok {
				continue
			}
			c := d.claim(by)
			what := d.titles(by.objects) + " " + c.verb() + " this, "
			if c.explains() {
				clauses = with(clauses, what+"but what is admitted fails as well")
				continue
			}
			passed := c.sure.sent + c.others.sent - c.sure.failed - c.others.failed
			clauses = with(clauses, fmt.Sprintf("%sbut %d of %d such probes and requests were answered: it is not in force",
				what, passed, c.sure.sent+c.others.sent))
		}
	}
	return clauses
}
