package verdict

import (
	"fmt"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
)

// String says the reason in one sentence without a final stop; it is empty without a reason.
func (r Reason) String() string {
	text := r.clause()
	if r.Persistent {
		text = "over a persistent connection: " + text
	}
	if r.Target != "" {
		text = r.Target + ": " + text
	}
	switch {
	case r.Pod == "":
	case r.Code == NotReported:
		text = Named(r.Pod, r.Node) + " did not report: " + text
	default:
		text = Named(r.Pod, r.Node) + ": " + text
	}
	return text
}

// Named is how reasons name an agent. A pod without a node yet is named alone.
func Named(pod, node string) string {
	if node == "" {
		return "agent " + pod
	}
	return fmt.Sprintf("agent %s on node %s", pod, node)
}

// clause says the reason without the agent and the target.
func (r Reason) clause() string {
	switch r.Code {
	case NoTarget:
		return fmt.Sprintf("no %s target over %s: %s", r.Kind, r.Family, r.Text)
	case NobodyReported:
		if r.Changes == 0 {
			return "no agent reported"
		}
		return "no agent reported: " + r.changesClause()
	case NothingLeft:
		return "nothing is left to judge: " + r.changesClause()
	case FewAgents:
		return fmt.Sprintf("only %d of %d agents have a report that could be judged, which is fewer than a third: %s",
			r.Count, r.Of, r.changesClause())
	case FewPaths:
		return fmt.Sprintf("only %d of %d planned %spaths%s could be judged, which is less than a third: %s",
			r.Count, r.Of, withSpace(string(r.Kind)), overFamily(string(r.Family)), r.changesClause())
	case Stopped:
		return "the round was stopped before its end"
	case NotMeasured:
		return "not measured"
	case PathsNotMeasured:
		return fmt.Sprintf("%d of %d paths were not measured", r.Count, r.Of)
	case FurtherPaths:
		return fmt.Sprintf("%d of %d paths that are not reported one by one did not pass", r.Count, r.Of)
	case NoTargets:
		return "there was no target to measure"
	case Throttled, OutOfFiles, OutOfPorts, Late, Unsent:
		return r.limit("the agent")
	case Cut:
		if r.Of > 0 {
			return fmt.Sprintf("%s, when %d of %d planned requests had come due", r.Text, r.Count, r.Of)
		}
		return r.Text
	case NotReported, NothingGiven, Located, "":
		return r.Text
	}
	return r.path()
}

// path says the reason of a path.
func (r Reason) path() string {
	switch r.Code {
	case TooFewSucceeded:
		text := fmt.Sprintf("%d of %d requests succeeded", r.Count, r.Of)
		if r.Lost > 0 {
			text += fmt.Sprintf(", but the other side ended %s while idle", phrases.Count(r.Lost, "connection"))
		}
		return text + fmt.Sprintf(", expected a rate of at least %v", r.Rate) + r.worstFailure() +
			r.limitClause(", but ")
	case TooSlow:
		return fmt.Sprintf("mean delay %.3f ms is above the expected %d ms", milliseconds(r.Delay),
			r.Allowed.Milliseconds()) + r.limitClause(", but ")
	case NeverReused:
		return fmt.Sprintf("none of %s lasted until the next request, although nothing on the way may end one",
			phrases.Count(r.Count, "connection"))
	case NothingSent:
		return fmt.Sprintf("no request was sent (%d were due)", r.Of) + r.worstFailure() + r.limitClause("; ")
	case NothingSucceeded:
		return "no request succeeded, so there is no delay to judge" + r.worstFailure() + r.limitClause("; ")
	case NotDue:
		return fmt.Sprintf("only %d of the %d planned requests came due", r.Count, r.Of)
	case TooFewJudged:
		return fmt.Sprintf("only %d of the %d planned requests could be judged, which is less than a third", r.Count,
			r.Of) + r.worstFailure() + r.limitClause("; ")
	case ShortAnswers:
		return fmt.Sprintf("answers had %d bytes on average instead of at least %d: agents that do not know the "+
			"round, as after a restart, "+
			"give short ones: run the task again", r.Count, r.Of)
	case Excused:
		if r.Excused >= r.Of {
			return fmt.Sprintf("all %d requests are excused: %s", r.Excused, r.changesClause())
		}
		return fmt.Sprintf("%d of %d planned requests are excused, and %d are left: %s", r.Excused, r.Of, r.Count,
			r.changesClause())
	}
	return string(r.Code)
}

// limit says which limit an agent met, and what to do.
func (r Reason) limit(who string) string {
	switch r.Code {
	case Throttled:
		cores := ""
		if r.Cores > 0 {
			cores = fmt.Sprintf(" (limit %.2f cores)", r.Cores)
		}
		share := min(1, float64(r.Count)/float64(max(r.Of, 1)))
		return fmt.Sprintf("%s was throttled in %.0f %% of its CPU periods%s, for %v in all: raise its CPU limit or "+
			"lower the rate",
			who, 100*share, cores, r.Delay.Round(time.Millisecond))
	case OutOfFiles:
		return fmt.Sprintf("%s could not send %d of %d due requests: %d of its %d descriptors were open: raise its "+
			"limit of open files or lower the rate",
			who, r.Count, r.Of, r.Used, r.Room)
	case OutOfPorts:
		has := ""
		if r.Room > 0 {
			has = fmt.Sprintf(" (it has %d)", r.Room)
		}
		return fmt.Sprintf("%s could not send %d of %d due requests: it ran out of ports%s, descriptors or memory "+
			"for large answers: lower the rate",
			who, r.Count, r.Of, has)
	case Late:
		return fmt.Sprintf("the agent itself was at least %.1f ms late with %d of %d requests (limit %.1f ms): give "+
			"it more CPU or lower the rate",
			milliseconds(r.Delay), r.Count, r.Of, milliseconds(r.Allowed))
	}
	return fmt.Sprintf("the agent sent only %d of %d due requests (%s): give it more CPU or lower the rate", r.Count,
		r.Of, r.unsent())
}

// unsent says why requests were not sent.
func (r Reason) unsent() string {
	var why []string
	if r.Missed > 0 {
		why = append(why, fmt.Sprintf("%d could not be started in time", r.Missed))
	}
	if r.NotSent > 0 {
		why = append(why, fmt.Sprintf("%d had no port, descriptor or memory for a large answer", r.NotSent))
	}
	return strings.Join(why, ", ")
}

// String says the note in one sentence without a final stop.
func (n Note) String() string {
	switch n.Code {
	case PartOfPairs:
		text := fmt.Sprintf("%d of %d pairs of nodes were probed; %d consecutive rounds probe every pair", n.Count, n.Of,
			n.Rounds)
		if n.Within > 0 {
			text += fmt.Sprintf(", within %v", n.Within)
		}
		return text
	case NodesLeftOut:
		return fmt.Sprintf("%d of %s %s not looked at: %s", n.Count, phrases.Count(n.Of, "node"),
			phrases.WasOrWere(n.Count == 1),
			outsideByReason(n.Outside))
	case NodesInPart:
		return fmt.Sprintf("%d of %s %s looked at in part: %s", n.Count, phrases.Count(n.Of, "node"),
			phrases.WasOrWere(n.Count == 1),
			outsideByReason(n.Outside))
	}
	return fmt.Sprintf("LoadBalancer %s was answered by the nodes themselves (ipMode VIP): %s nothing about the load "+
		"balancer",
		n.Address, targetsProve(n.Count))
}

// mostNames and mostReasons bound what a sentence names.
const mostNames, mostReasons = 3, 3

// outsideByReason names the first nodes by the reason for which they were left out, in the order of the nodes.
func outsideByReason(outside []report.Outside) string {
	var order []string
	names := map[string][]string{}
	for _, o := range outside {
		if names[o.Reason] == nil {
			order = append(order, o.Reason)
		}
		names[o.Reason] = append(names[o.Reason], o.Node)
	}
	var parts []string
	for i, reason := range order {
		if i == mostReasons {
			parts = append(parts, "others for other reasons")
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", firstNames(names[reason]), reason))
	}
	return strings.Join(parts, "; ")
}

// firstNames lists the first few names.
func firstNames(names []string) string {
	if len(names) <= mostNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), len(names)-mostNames)
}

func targetsProve(targets uint64) string {
	if targets == 1 {
		return "this target proves"
	}
	return fmt.Sprintf("these %d targets prove", targets)
}

// worstFailure names the most frequent failure, in parentheses.
func (r Reason) worstFailure() string {
	if r.Worst == nil {
		return ""
	}
	if phase := r.Worst.Phase.String(); phase != "" {
		return fmt.Sprintf(" (%d %s at %s)", r.Worst.Count, r.Worst.Outcome, phase)
	}
	return fmt.Sprintf(" (%d %s)", r.Worst.Count, r.Worst.Outcome)
}

// limitClause returns the limit after the joining words; it is empty without a limit.
func (r Reason) limitClause(by string) string {
	if r.Limit == nil {
		return ""
	}
	who := "the agent"
	if r.Limit.Pod != "" {
		who = fmt.Sprintf("the agent that answers, %s on node %s,", r.Limit.Pod, r.Limit.Node)
	}
	return by + r.Limit.limit(who)
}

// changesClause says what happened to agents.
func (r Reason) changesClause() string {
	switch {
	case r.Text != "":
		return r.Text
	case r.Change != nil:
		return phrases.ChangeOfPod(*r.Change)
	case r.Changes == 0:
		return "too little was measured"
	}
	return fmt.Sprintf("agents were deleted or restarted %d times during the round", r.Changes)
}

// withSpace returns the word with a space behind it, or nothing.
func withSpace(word string) string {
	if word == "" {
		return ""
	}
	return word + " "
}

// overFamily says over which family, or nothing.
func overFamily(family string) string {
	if family == "" {
		return ""
	}
	return " over " + family
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
