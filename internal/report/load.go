package report

import (
	"fmt"
	"time"
)

// Load is the load of a round, as its task asks for it and as it was planned. The zero value is one of which nothing is
// known.
type Load struct {
	// Asked and Given are the rates in requests per second from each agent to each target: the task's, and the one that
	// was planned. Given is smaller where the task's would have been above a limit, and 0 where even the lowest rate
	// would have been.
	Asked int `json:"Asked"`
	Given int `json:"Given"`
	// Every is how many seconds there are between two requests to a target, where that is more than one; Given is 1
	// then.
	Every int `json:"Every"`
	// Limit is how many requests a second this round may send from one agent, 0 without a limit.
	Limit int `json:"Limit"`
	// Targets is how many the agent with the most of them has; what follows is about this agent. Sends is how many
	// requests a second it sends, those over connections that stay open included.
	Targets int `json:"Targets"`
	Sends   int `json:"Sends"`
	// Connections is how many new connections a second it opens at the given rate, Tracked how many entries these hold
	// in the table of tracked connections of its node. Ports is how many local ports one target takes at most.
	Connections int `json:"Connections"`
	Tracked     int `json:"Tracked"`
	Ports       int `json:"Ports"`
	// TotalLimit, TotalTargets and TotalSends are the limit, targets and requests a second of all agents together.
	TotalLimit   int `json:"TotalLimit"`
	TotalTargets int `json:"TotalTargets"`
	TotalSends   int `json:"TotalSends"`
	// ByTotal tells that it is the limit for all agents together that made Given smaller.
	ByTotal bool `json:"ByTotal"`
	// Others is how many requests a second other rounds sent from each of the same agents when this round was planned,
	// OthersTotal how many from all agents of the cluster together. The limits are what these left to this round.
	Others      int `json:"Others"`
	OthersTotal int `json:"OthersTotal"`
	// AnswerBytes is how many bytes the body of an answer has at least, 0 where answers are as short as they can be.
	AnswerBytes int `json:"AnswerBytes"`
	// Needs is told where nothing was given: how many requests a second the lowest rate would have been, of one agent
	// or, ByTotal, of all. Cap is the limit of the installation that is below it. Users name the tasks whose rounds
	// left too little of it, as "NetReach a, NetReach b"; it is empty where no part of the limit would do.
	Needs int    `json:"Needs"`
	Cap   int    `json:"Cap"`
	Users string `json:"Users"`
	// Waited is how long the round waited until other rounds left it enough to begin.
	Waited time.Duration `json:"Waited"`
}

// Reduction says in one sentence without a final stop why less was given than was asked for; it is empty where all was
// given.
func (l Load) Reduction() string {
	if nothing := l.Withheld(); nothing != "" {
		return nothing
	}
	if l.Given >= l.Asked && l.Every <= 1 {
		return ""
	}
	who, limit, others := fmt.Sprintf("an agent with %d targets", l.Targets), l.Limit, l.Others
	if l.ByTotal {
		who, limit, others = fmt.Sprintf("all agents together, with %d targets,", l.TotalTargets), l.TotalLimit,
			l.OthersTotal
	}
	got := fmt.Sprintf("%s a second instead of %d", requests(l.Given), l.Asked)
	if l.Every > 1 {
		got = fmt.Sprintf("%s every %d seconds instead of %d a second", requests(l.Given), l.Every, l.Asked)
	}
	text := fmt.Sprintf("each target got %s: %s may send %s a second for this task", got, who, requests(limit))
	if others > 0 {
		text += fmt.Sprintf(" beside %d for others", others)
	}
	return text
}

// Withheld says in one sentence without a final stop why nothing at all was sent, because even the least would have
// been above a limit; it is empty for any other round.
func (l Load) Withheld() string {
	if l.Given > 0 || l.Asked <= 0 {
		return ""
	}
	who, limit, setting, targets, others := "an agent", "each agent", "limits.requestsPerSecondPerAgent", l.Targets,
		l.Others
	if l.ByTotal {
		who, limit, setting, targets, others = "all agents together", "all agents together", "limits.requestsPerSecond",
			l.TotalTargets, l.OthersTotal
	}
	text := fmt.Sprintf("nothing was sent: %s may send %s a second (%s)", limit, requests(l.Cap), setting)
	if l.Users != "" {
		text += fmt.Sprintf(", of which the rounds of %s had %d until it was too late to begin", l.Users, others)
	}
	return text + fmt.Sprintf(", and %s with %d targets would have sent %d at the lowest rate", who, targets, l.Needs)
}

// Company says in one sentence without a final stop how loaded the agents were with other rounds when this one was
// planned, and how long it waited for others; it is empty where there were none.
func (l Load) Company() string {
	if l.Given <= 0 && l.Asked > 0 {
		// Withheld says what others had.
		return ""
	}
	waited := ""
	if l.Waited > 0 {
		waited = fmt.Sprintf("waited %v until other rounds left it enough", l.Waited.Round(time.Second))
	}
	switch {
	case l.Others <= 0 && waited == "":
		return ""
	case l.Others <= 0:
		return "this round " + waited
	case waited != "":
		waited = ", which had " + waited
	}
	return fmt.Sprintf("other rounds sent %s a second from each of these agents when this one began, beside the %d "+
		"of this round%s", requests(l.Others), l.Sends, waited)
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}
