package controller

import (
	"fmt"
	"strings"

	"kdoctor.io/kdoctor/internal/verdict"
)

// longestNames is how many bytes the names in one sentence have at most, so that the sentence says how many more there
// are before it is cut to longestReason.
const longestNames = 400

// sentences returns the reasons of a round as sentences. Reasons about at most mostNames agents stand one by one, in
// their order. More than mostNames agents that did not report, or that did not pass, become one sentence each, which
// stands where the first of them stood: it counts the agents, names some nodes, and has the first reason in full.
func sentences(reasons []verdict.Reason) []string {
	silent, others := agentReasons{what: "report"}, agentReasons{what: "pass"}
	groupOf := func(r verdict.Reason) *agentReasons {
		switch {
		case r.Pod == "":
			return nil
		case r.Code == verdict.NotReported:
			return &silent
		}
		return &others
	}
	for _, r := range reasons {
		if group := groupOf(r); group != nil {
			group.all = append(group.all, r)
		}
	}
	var said []string
	for _, r := range reasons {
		group := groupOf(r)
		switch {
		case group == nil || len(group.all) <= mostNames:
			said = append(said, r.String())
		case !group.said:
			group.said = true
			said = append(said, group.sentence())
		}
	}
	return said
}

// agentReasons are the reasons of all agents that did not do one thing, which what names. said reports that their
// common sentence stands already.
type agentReasons struct {
	what string
	all  []verdict.Reason
	said bool
}

// sentence counts the agents, names the nodes, and has the first reason.
func (g agentReasons) sentence() string {
	nodes := make([]string, 0, len(g.all))
	for _, r := range g.all {
		nodes = append(nodes, r.Node)
	}
	where := ""
	if nodes = names(nodes); len(nodes) > 0 {
		where = fmt.Sprintf(" on %d nodes (%s)", len(nodes), firstNames(nodes))
	}
	return fmt.Sprintf("%d agents%s did not %s, the first of them: %s", len(g.all), where, g.what, g.all[0])
}

// firstNames lists the first names, at most mostNames of them and at most longestNames bytes, and says how many more
// there are. The first name always stands.
func firstNames(all []string) string {
	shown, size := 0, 0
	for shown < min(len(all), mostNames) {
		size += len(all[shown]) + len(", ")
		if shown > 0 && size > longestNames {
			break
		}
		shown++
	}
	text := strings.Join(all[:shown], ", ")
	if more := len(all) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
