//go:build linux

package engine

// none is the index of no attempt.
const none = -1

// line is a list of attempts, linked by their indices: of those under way in the order in which they began, or of a lane's idle connections,
// the one that was used last in front.
type line struct{ first, last int32 }

func emptyLine() line { return line{none, none} }

// queue puts the attempt at the end of the line.
func (s *shard) queue(l *line, i int32) {
	a := &s.attempts[i]
	a.previous, a.next = l.last, none
	if l.last == none {
		l.first = i
	} else {
		s.attempts[l.last].next = i
	}
	l.last = i
}

// push puts the attempt in front of the line.
func (s *shard) push(l *line, i int32) {
	a := &s.attempts[i]
	a.previous, a.next = none, l.first
	if l.first == none {
		l.last = i
	} else {
		s.attempts[l.first].previous = i
	}
	l.first = i
}

// remove takes the attempt out of the line.
func (s *shard) remove(l *line, i int32) {
	a := &s.attempts[i]
	if a.previous == none {
		l.first = a.next
	} else {
		s.attempts[a.previous].next = a.next
	}
	if a.next == none {
		l.last = a.previous
	} else {
		s.attempts[a.next].previous = a.previous
	}
}
