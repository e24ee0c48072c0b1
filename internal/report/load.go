package report

import "time"

// RequestBudget is the load of a round, as its task asks for it and as it was planned. The zero value is one of which
// nothing is known.
type RequestBudget struct {
	// Asked and Given are the rates in requests per second from each agent to each target: the task's, and the one that
	// was planned. Given is smaller where the task's would have been above a limit, and 0 where even the lowest rate
	// would have been.
	Asked   int `json:"Asked"`
	Granted int `json:"Given"`
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
	// LowestRate is told where nothing was given: how many requests a second the lowest rate would have been, of one
	// agent or, ByTotal, of all. Cap is the limit of the installation that is below it. Users name the tasks whose
	// rounds left too little of it, as "NetReach a, NetReach b"; it is empty where no part of the limit would do.
	LowestRate int    `json:"Needs"`
	Cap        int    `json:"Cap"`
	UsedBy     string `json:"Users"`
	// Waited is how long the round waited until other rounds left it enough to begin.
	Waited time.Duration `json:"Waited"`
}

// Reduced reports whether less was granted than was asked for.
func (l RequestBudget) Reduced() bool { return l.Granted < l.Asked || l.Every > 1 }

// Withheld reports whether nothing at all was sent, because even the lowest rate would have been above a limit.
func (l RequestBudget) Withheld() bool { return l.Granted <= 0 && l.Asked > 0 }
