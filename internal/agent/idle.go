package agent

import (
	"log/slog"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/resident"
)

// idleAfter is how long after its last measurement an agent is idle: reports are fetched within seconds.
const idleAfter = 5 * time.Second

// idling knows whether the agent measures something. The zero value is ready for use and does nothing at either moment.
type idling struct {
	// busy is called before the first measurement and before one that follows an idle time. It is over before the
	// measurement begins. idle is called when the agent becomes idle.
	busy, idle func()

	mu       sync.Mutex
	underWay int
	// awake reports that busy was called, and idle was not since.
	awake, closed bool
	// resting calls idle, unless a measurement begins before that; nil while there is one, and before the first one.
	resting *time.Timer
}

// begin notes that a measurement begins, and end that it has ended.
func (i *idling) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.underWay++
	if i.resting != nil {
		i.resting.Stop()
		i.resting = nil
	}
	if !i.awake && i.busy != nil {
		i.busy()
	}
	i.awake = true
}

func (i *idling) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.underWay--; i.underWay == 0 && !i.closed {
		i.resting = time.AfterFunc(idleAfter, i.rest)
	}
}

// rest calls idle, unless a measurement has begun meanwhile.
func (i *idling) rest() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.underWay > 0 || i.closed || !i.awake {
		return
	}
	i.awake = false
	if i.idle != nil {
		i.idle()
	}
}

// close lets the agent not become idle any more.
func (i *idling) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.resting != nil {
		i.resting.Stop()
	}
}

// sparing gives memory back while the agent is idle. All of the program is mapped before something is measured, so that
// no request waits for a page of it. Where the kernel does not do that, pages are mapped as they are used.
func sparing(log *slog.Logger) *idling {
	call := func(what string, do func() error) func() {
		return func() {
			if err := do(); err != nil {
				log.Debug("memory stays as it is", "advice", what, "error", err)
			}
		}
	}
	return &idling{busy: call("map the program", resident.Map), idle: call("release what is idle", resident.Release)}
}
