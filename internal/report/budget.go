package report

import "time"

// RequestBudget is how many requests a round may send: the rate that its task asks for, the rate that was granted, and
// the limits between the two. In the zero value nothing is known.
type RequestBudget struct {
	// Asked and Granted are rates in requests per second from each agent to each target: the rate of the task, and the
	// planned rate. Granted is smaller if the task's rate would have exceeded a limit, and 0 if even the lowest rate
	// would have exceeded the limit.
	Asked   int `json:"Asked"`
	Granted int `json:"Given"`
	// Every is the time in seconds between two requests to a target, if it is more than one second; Granted is 1 then.
	Every int `json:"Every"`
	// Limit is how many requests a second this round may send from one agent, 0 without a limit.
	Limit int `json:"Limit"`
	// Targets is the number of targets of the agent with the most targets; the fields down to Ports are about this
	// agent. Sends is how many requests a second the agent sends, requests over persistent connections included.
	Targets int `json:"Targets"`
	Sends   int `json:"Sends"`
	// Connections is how many new connections a second the agent opens at the granted rate. Tracked is how many entries
	// the connections hold in the node's table of tracked connections. Ports is how many local ports one target takes
	// at most.
	Connections int `json:"Connections"`
	Tracked     int `json:"Tracked"`
	Ports       int `json:"Ports"`
	// TotalLimit, TotalTargets and TotalSends are the limit, targets and requests a second of all agents together.
	TotalLimit   int `json:"TotalLimit"`
	TotalTargets int `json:"TotalTargets"`
	TotalSends   int `json:"TotalSends"`
	// ByTotal reports that the limit for all agents together is why Granted is smaller.
	ByTotal bool `json:"ByTotal"`
	// Others is how many requests a second other rounds sent from each of the same agents when this round was planned,
	// OthersTotal how many from all agents of the cluster together. Limit and TotalLimit are what the others left to
	// this round.
	Others      int `json:"Others"`
	OthersTotal int `json:"OthersTotal"`
	// AnswerBytes is how many bytes the body of an answer has at least; 0 stands for the shortest answer.
	AnswerBytes int `json:"AnswerBytes"`
	// LowestRate, Cap and UsedBy are set only if nothing was granted. LowestRate is how many requests a second the
	// lowest rate would have sent, from one agent or, with ByTotal, from all. Cap is the limit of the installation.
	// UsedBy names the tasks whose rounds left too little of the limit, as "NetReach a, NetReach b"; it is empty if
	// even the whole limit would not have been enough.
	LowestRate int `json:"Needs"`
	// MostTargets is how many targets an agent can probe in a round, set only where nothing was granted because the
	// round has more.
	MostTargets int    `json:"MostTargets,omitempty"`
	Cap         int    `json:"Cap"`
	UsedBy      string `json:"Users"`
	// Waited is how long the round waited until other rounds left enough to begin.
	Waited time.Duration `json:"Waited"`
}

// Reduced reports whether less was granted than was asked for.
func (b RequestBudget) Reduced() bool { return b.Granted < b.Asked || b.Every > 1 }

// Withheld reports whether nothing at all was sent, because even the lowest rate would have been above a limit.
func (b RequestBudget) Withheld() bool { return b.Granted <= 0 && b.Asked > 0 }
