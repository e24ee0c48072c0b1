package report

import "time"

// Excuse is a set of failures of one path that changes explain. An excuse is proven, bounded and shown: it names the
// changes, the time in which they had an effect, and how many requests they explain.
type Excuse struct {
	// Changes happened to backends that may answer the agent on the path.
	Changes []Change `json:"Changes"`
	// First and Last are the moments at which the first and the last excused attempt started, by the controller's
	// clock.
	First time.Time `json:"First"`
	Last  time.Time `json:"Last"`
	// Explained is how many failed attempts are excused, Of how many attempts came due within that time.
	Explained uint64 `json:"Explained"`
	Of        uint64 `json:"Of"`
	// Away is the largest number of backends that were away at one moment of that time, Backends is how many may answer
	// in all.
	Away     int `json:"Away"`
	Backends int `json:"Backends"`
}

// ChangeKind is what happened to an agent.
type ChangeKind string

// What can happen to an agent that is no fault of the network.
const (
	// Deleted: the pod was deleted, or is being deleted. Whether another pod replaces it does not matter to the round.
	Deleted ChangeKind = "deleted"
	// Drained: the same, and the node takes no new pods.
	Drained ChangeKind = "drained"
	// Restarted: the agent's container ended and was started again, or will be.
	Restarted ChangeKind = "restarted"
)

// Change is something that happened to an agent during a round.
type Change struct {
	Pod  string     `json:"Pod"`
	Node string     `json:"Node"`
	Kind ChangeKind `json:"What"`
	// NodeLeft reports that the pod's node left the cluster, or stopped as it was meant to: nothing answers at its
	// addresses any more.
	NodeLeft bool `json:"NodeLeft"`
	// Detail is Kubernetes' word for why a container ended, such as OOMKilled; it may be empty.
	Detail string `json:"Detail"`
	// WindowStart is the earliest moment at which the change may have happened, by the controller's clock.
	WindowStart time.Time `json:"From"`
	// WindowEnd is when the change was over. For a restart, this is when the agent was back, and zero if the agent did
	// not come back. For all else, this is when the change was noticed.
	WindowEnd time.Time `json:"To"`
}
