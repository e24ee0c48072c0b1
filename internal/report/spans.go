package report

import (
	"cmp"
	"slices"
	"time"
)

// MaxSpans is how many spans one kind of failure has at most.
const MaxSpans = 8

// Span is a time in which Count attempts failed. First and Last are when the first and the last of them started,
// counted from the start of the path.
type Span struct {
	First time.Duration `json:"First"`
	Last  time.Duration `json:"Last"`
	Count uint64        `json:"Count"`
}

// AddFailure adds one failure to spans that are sorted and do not overlap; the returned spans are so too. If there
// would be more than MaxSpans spans, the two with the shortest time between them become one: failures that are far
// apart stay apart.
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
	// closest is the span before the shortest gap between two existing spans. A failure that lies in this very gap is
	// closer to one of the two spans than they are to each other.
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
