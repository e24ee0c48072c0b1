// Package hold delays packets: the kernel hands the packets of a netfilter queue to it, and it lets each of them go on
// after a while. The kernels on which the lab runs need no queueing discipline for delays.
package hold

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Config says which packets are held for how long.
type Config struct {
	// Queue is the number of the netfilter queue, 0 to 65535.
	Queue int
	// Delay is how long a packet is held; Jitter is the largest random time more.
	Delay, Jitter time.Duration
	// Share is the share of packets that are held, above 0 up to 1. The others go on at once, and so overtake.
	Share float64
}

// Validate returns every reason why c cannot work.
func (c Config) Validate() error {
	const most = time.Minute
	var problems []error
	if c.Queue < 0 || c.Queue > 65535 {
		problems = append(problems, fmt.Errorf("queue %d: use 0 to 65535", c.Queue))
	}
	if c.Delay < 0 || c.Jitter < 0 || c.Delay+c.Jitter > most {
		problems = append(problems, fmt.Errorf("delay %v, jitter %v: use up to %v in all", c.Delay, c.Jitter, most))
	}
	if c.Share <= 0 || c.Share > 1 {
		problems = append(problems, fmt.Errorf("share %v: use above 0 up to 1", c.Share))
	}
	return errors.Join(problems...)
}

// due returns when a packet that came now goes on, and whether it is held. Packets that are held keep their order: none
// goes on before the one that came before it, which went on at last or will. The two random numbers are from 0 up to 1.
func (c Config) due(now, last time.Time, choice, jitter float64) (time.Time, bool) {
	if choice >= c.Share {
		return now, false
	}
	at := now.Add(c.Delay + time.Duration(jitter*float64(c.Jitter)))
	if at.Before(last) {
		at = last
	}
	return at, true
}

// source is where packets come from and go back to.
type source interface {
	// next returns the ids of packets that came; none if nothing came for a short while.
	next() ([]uint32, error)
	// release lets a packet go on.
	release(id uint32) error
	close() error
}

// Run holds packets until ctx ends; then it lets all of them go. It calls ready when packets are held.
func Run(ctx context.Context, c Config, ready func() error) error {
	if err := c.Validate(); err != nil {
		return err
	}
	queue, err := open(c.Queue)
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return errors.Join(err, queue.close())
	}
	return c.serve(ctx, queue)
}

// serve ends its goroutine before it returns.
func (c Config) serve(ctx context.Context, from source) error {
	came := make(chan []uint32, 1)
	failed := make(chan error, 1)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(came)
		for {
			ids, err := from.next()
			if err != nil {
				failed <- err
				return
			}
			if reading.Err() != nil {
				return
			}
			if len(ids) == 0 {
				continue
			}
			select {
			case came <- ids:
			case <-reading.Done():
				return
			}
		}
	}()
	err := c.loop(ctx, from, came)
	stop()
	for ids := range came {
		for _, id := range ids {
			err = errors.Join(err, from.release(id))
		}
	}
	select {
	case read := <-failed:
		err = errors.Join(err, read)
	default:
	}
	return errors.Join(err, from.close())
}

// loop returns when ctx ends, when nothing comes any more, or when a packet cannot be released. Nothing stays held.
func (c Config) loop(ctx context.Context, to source, came <-chan []uint32) (err error) {
	var held line
	var last time.Time
	defer func() {
		for len(held) > 0 {
			err = errors.Join(err, held.release(to))
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		for len(held) > 0 && !held[0].due.After(now) {
			if err := held.release(to); err != nil {
				return err
			}
		}
		wait := time.Hour
		if len(held) > 0 {
			wait = held[0].due.Sub(now)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case ids, ok := <-came:
			if !ok {
				return nil
			}
			now := time.Now()
			for _, id := range ids {
				//nolint:gosec // The random numbers of a test network need not be secret.
				at, hold := c.due(now, last, rand.Float64(), rand.Float64())
				if hold {
					last = at
				}
				heap.Push(&held, packet{id: id, due: at})
			}
		}
	}
}

// packet is one that waits; ids grow in the order in which packets came.
type packet struct {
	id  uint32
	due time.Time
}

// line is a heap of packets, the first due first; of those due at one time, the first that came.
type line []packet

// release lets the first packet go on.
func (l *line) release(to source) error {
	p, _ := heap.Pop(l).(packet)
	return to.release(p.id)
}

func (l line) Len() int { return len(l) }
func (l line) Less(i, j int) bool {
	if l[i].due.Equal(l[j].due) {
		return l[i].id < l[j].id
	}
	return l[i].due.Before(l[j].due)
}
func (l line) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *line) Push(p any)   { *l = append(*l, p.(packet)) } //nolint:forcetypeassert // Only packets.
func (l *line) Pop() any {
	last := len(*l) - 1
	p := (*l)[last]
	*l = (*l)[:last]
	return p
}
