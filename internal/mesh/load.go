package mesh

import (
	"time"

	"kdoctor.io/kdoctor/internal/echo"
)

// Load is the load on each target, from each agent.
type Load struct {
	// PerSecond is the rate in requests per second, 1 or more.
	PerSecond int `json:"PerSecond"`
	// Every makes the rate lower than 1 a second: PerSecond requests are due every Every seconds, and Every is no more
	// than the load's duration in seconds. 0 is 1.
	Every int `json:"Every"`
	// Duration is how long the load lasts, in whole seconds.
	Duration time.Duration `json:"Duration"`
	// Timeout bounds each request.
	Timeout time.Duration `json:"Timeout"`
	// Connection says how requests use connections; empty is NewConnection.
	Connection Connection `json:"Connection"`
}

// Connection is how requests use connections.
type Connection string

// The ways to use connections.
const (
	// NewConnection opens a connection for every request.
	NewConnection Connection = "new"
	// KeepAlive sends requests over connections that stay open.
	KeepAlive Connection = "keepalive"
	// Both opens a connection for every counted request, and beside them sends a slow stream over one that stays open:
	// the persistent stream.
	Both Connection = "both"
)

// PersistentShare is the number of counted requests for one request of the persistent stream.
const PersistentShare = 10

// Requests returns how many requests are due on each target. A request that would be due when the load is over is not
// one of them.
func (l Load) Requests() uint64 {
	return uint64(l.PerSecond) * uint64(l.Duration/time.Second) / uint64(l.Divisor())
}

// Persistent returns how many requests are due on the persistent stream of each target, and the time between two of
// them. The number is a tenth of the counted requests, and at least LeastPersistent. Both results are 0 without a
// persistent stream.
func (l Load) Persistent() (requests uint64, every time.Duration) {
	if l.Connection != Both {
		return 0, 0
	}
	requests = max(l.Requests()/PersistentShare, uint64(l.LeastPersistent())) // #nosec G115 -- a positive number
	return requests, l.Duration / time.Duration(requests)
}

// LeastPersistent returns the least number of requests of a persistent stream: three, because with fewer no connection
// would have to last, or more where pauses between the requests would be longer than echo.LongestPause.
func (l Load) LeastPersistent() int {
	longest := int(echo.LongestPause / time.Second)
	return max(3, (l.Seconds()+longest-1)/longest)
}

// Seconds returns the duration in whole seconds, at least 1.
func (l Load) Seconds() int { return max(int(l.Duration/time.Second), 1) }

// Divisor returns the number of seconds in which PerSecond requests are due, at least 1.
func (l Load) Divisor() int { return max(l.Every, 1) }
