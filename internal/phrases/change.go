package phrases

import (
	"fmt"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// maxChanges is how many changes a sentence names at most.
const maxChanges = 3

// ChangeClause says what happened, in a clause: "its pod was deleted".
func ChangeClause(c report.Change) string {
	switch c.Kind {
	case report.Restarted:
		if c.Detail != "" {
			return fmt.Sprintf("its agent was restarted (%s)", c.Detail)
		}
		return "its agent was restarted"
	case report.Drained:
		return "its node was drained"
	case report.Deleted:
	}
	return "its pod was deleted"
}

// ChangeDuringRound says what happened, and that it happened during the round, in a clause.
func ChangeDuringRound(c report.Change) string { return ChangeClause(c) + " during the round" }

// ChangeOfPod says in one sentence what happened to which pod.
func ChangeOfPod(c report.Change) string {
	return fmt.Sprintf("pod %s on node %s: %s", c.Pod, c.Node, ChangeClause(c))
}

// ChangeWithTime says in one sentence what happened to which pod, and how long after the start of the round.
func ChangeWithTime(c report.Change, started time.Time) string {
	after := max(0, c.WindowStart.Sub(started)).Round(time.Second)
	text := fmt.Sprintf("pod %s on node %s: %s, %v after its start", c.Pod, c.Node, ChangeDuringRound(c), after)
	if c.Kind == report.Restarted && c.WindowEnd.IsZero() {
		text += ", and was not back by its end"
	}
	return text
}

// Excuse says in one sentence which changes excuse how many requests of a path, and when these were sent.
func Excuse(e report.Excuse) string {
	const clock = "15:04:05"
	first, last := e.First.UTC().Format(clock), e.Last.UTC().Format(clock)
	when := "at " + first
	if last != first {
		when = "from " + first + " to " + last
	}
	text := fmt.Sprintf("%d of %s %s UTC", e.Explained, Count(e.Of, "request"), when)
	if e.Backends > 0 {
		text += fmt.Sprintf(", while %d of %d backends %s away", e.Away, e.Backends, WasOrWere(e.Away == 1))
	}
	var names []string
	for _, c := range e.Changes {
		names = append(names, ChangeOfPod(c))
	}
	if len(names) > maxChanges {
		names = append(names[:maxChanges], fmt.Sprintf("and %d more", len(names)-maxChanges))
	}
	return text + ": " + strings.Join(names, ", ")
}
