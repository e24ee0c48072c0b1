package responder

import (
	"time"

	"kdoctor.io/kdoctor/internal/slots"
)

// queue is what a connection waits for, and so which deadline it has. All connections of a queue have the same time, so
// that their deadlines are in the order in which they came, and a list is enough.
type queue uint8

const (
	// noQueue is for a connection whose answer is delayed, and for a free slot.
	noQueue queue = iota
	// inRequest: a request has begun and is not complete. Its head must be complete at the deadline.
	inRequest
	// inBody: the head was complete in time, the body is not.
	inBody
	// inAnswer: the client has not received the whole answer.
	inAnswer
	// inIdle: no request has begun.
	inIdle
	// inLinger: the last answer is sent, and what the client still sends is thrown away.
	inLinger
	queues
)

// delays is a heap of the connections whose answers are delayed, the next one first. Each connection knows its
// position.
type delays struct {
	waiting []delay
	moved   func(connection, at int32)
}

type delay struct {
	until      time.Duration
	connection int32
}

func (d *delays) add(connection int32, until time.Duration) {
	d.waiting = append(d.waiting, delay{})
	d.up(len(d.waiting)-1, delay{until, connection})
}

// remove removes the delay at a position.
func (d *delays) remove(at int32) {
	d.moved(d.waiting[at].connection, slots.None)
	end := len(d.waiting) - 1
	last := d.waiting[end]
	d.waiting = d.waiting[:end]
	if int(at) < end {
		d.down(d.up(int(at), last))
	}
}

func (d *delays) set(at int, one delay) {
	d.waiting[at] = one
	d.moved(one.connection, int32(at)) // #nosec G115 -- there are as many as connections at most
}

// up moves a delay from the position towards the top, and returns its new position.
func (d *delays) up(at int, one delay) int {
	for at > 0 {
		parent := (at - 1) / 2
		if d.waiting[parent].until <= one.until {
			break
		}
		d.set(at, d.waiting[parent])
		at = parent
	}
	d.set(at, one)
	return at
}

// down moves the delay at the position towards the bottom.
func (d *delays) down(at int) {
	one := d.waiting[at]
	for {
		child := 2*at + 1
		if child >= len(d.waiting) {
			break
		}
		if child+1 < len(d.waiting) && d.waiting[child+1].until < d.waiting[child].until {
			child++
		}
		if d.waiting[child].until >= one.until {
			break
		}
		d.set(at, d.waiting[child])
		at = child
	}
	d.set(at, one)
}
