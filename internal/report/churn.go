package report

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
)

// MaxSpans is how many spans one kind of failure has at most.
const MaxSpans = 8

// Span is a time in which attempts failed. First and Last are when the first and the last of Count attempts started,
// counted from the start of the path.
type Span struct {
	First time.Duration `json:"First"`
	Last  time.Duration `json:"Last"`
	Count uint64        `json:"Count"`
}

// AddFailure adds one failure to spans that are sorted and do not overlap, and keeps them so. Where there would be more
// than MaxSpans, the two with the shortest time between them become one: failures that are far apart stay apart.
func AddFailure(spans []Span, at time.Duration) []Span {
	i, _ := slices.BinarySearchFunc(spans, at, func(s Span, at time.Duration) int { return cmp.Compare(s.Last, at) })
	if i < len(spans) && spans[i].First <= at {
		spans[i].Count++
		return spans
	}
	if len(spans) < MaxSpans {
		return slices.Insert(spans, i, Span{First: at, Last: at, Count: 1})
	}
	return addToFullSpans(spans, i, at)
}

// addToFullSpans adds a failure between spans[i-1] and spans[i], where there is no room for one more span.
func addToFullSpans(spans []Span, i int, at time.Duration) []Span {
	const never = time.Duration(1<<63 - 1)
	left, right := never, never
	if i > 0 {
		left = at - spans[i-1].Last
	}
	if i < len(spans) {
		right = spans[i].First - at
	}
	// closest is the span before the shortest gap between two spans that are there already. If the failure lies in that
	// very gap, it is closer to one of the two than they are to each other.
	closest, gap := -1, never
	for j := range len(spans) - 1 {
		if g := spans[j+1].First - spans[j].Last; g < gap {
			closest, gap = j, g
		}
	}
	switch {
	case left <= right && left <= gap:
		spans[i-1].Last = at
		spans[i-1].Count++
	case right <= gap:
		spans[i].First = at
		spans[i].Count++
	default:
		spans[closest].Last = spans[closest+1].Last
		spans[closest].Count += spans[closest+1].Count
		spans = slices.Delete(spans, closest+1, closest+2)
		if i > closest {
			i--
		}
		spans = slices.Insert(spans, i, Span{First: at, Last: at, Count: 1})
	}
	return spans
}

// Excuse is what changes explain of the failures of one path. It is proven, bounded and shown: it names the changes,
// the time in which they held, and how many requests of how many they explain.
type Excuse struct {
	// Changes happened to backends that may answer the agent on the path.
	Changes []Change `json:"Changes"`
	// First and Last are when the first and the last excused attempt started, by the controller's clock.
	First time.Time `json:"First"`
	Last  time.Time `json:"Last"`
	// Explained is how many failed attempts are excused, Of how many attempts came due within that time.
	Explained uint64 `json:"Explained"`
	Of        uint64 `json:"Of"`
	// Away is how many backends the changes had taken away at most at any one moment of that time, Backends how many
	// may answer in all.
	Away     int `json:"Away"`
	Backends int `json:"Backends"`
}

// Excused is how many attempts on the path say nothing.
func (p Path) Excused() uint64 {
	var n uint64
	for _, f := range p.Failures {
		n += f.Excused
	}
	return n
}

// WithoutExcused is the path as it would be had the void attempts never been made; what they add to the distributions
// is too little to matter and stays. Its counts keep what Path promises.
func (p Path) WithoutExcused() Path {
	if p.Persistent != nil {
		kept := p.Persistent.WithoutExcused()
		p.Persistent = &kept
	}
	void := p.Excused()
	if void == 0 {
		return p
	}
	p.Sent -= void
	p.Scheduled -= void
	var failures []Failure
	for _, f := range p.Failures {
		if f.Phase == probe.FirstByte && (f.Outcome == probe.Reset || f.Outcome == probe.BadAnswer) {
			// Who closed is not told of each attempt. That it was the changed peer is what excuses least of the rest.
			p.Closed -= min(p.Closed, f.Excused)
		}
		if f.Count -= f.Excused; f.Count > 0 {
			f.Excused = 0
			failures = append(failures, f)
		}
	}
	p.Failures = failures
	return p
}

// ChangeKind is what happened to an agent.
type ChangeKind string

// What can happen to an agent that is no fault of the network.
const (
	// Deleted: the pod was deleted, or is being deleted; whether another takes its place is of no concern to the round.
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
	// Detail is why a container ended, in Kubernetes' word for it, such as OOMKilled; it may be empty.
	Detail string `json:"Detail"`
	// From is the earliest moment at which it may have happened, by the controller's clock.
	From time.Time `json:"From"`
	// To is when it was over: for a restart, when the agent was back, zero if it did not come back; else when it was
	// noticed.
	To time.Time `json:"To"`
}
