package responder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Keys of descriptors in the epoll set that belong to no connection.
const (
	wakeKey   = -1
	listenKey = -2
)

// eventBatch is how many events are taken from the kernel at once.
const eventBatch = 256

// maxHold is how long a busy poller may keep the runtime's processor while it waits.
const maxHold = 20 * time.Millisecond

// poller waits for sockets.
type poller struct {
	epoll, wake int
	events      []unix.EpollEvent
	// mayHold tells that the runtime has processors beside the one that runs us; busy that events come one soon after the other.
	mayHold, busy bool
}

func openPoller(mayHold bool) (*poller, error) {
	p := &poller{wake: -1, mayHold: mayHold, events: make([]unix.EpollEvent, eventBatch)}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err = p.add(p.wake, unix.EPOLLIN, wakeKey); err != nil {
		p.close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return p, nil
}

func (p *poller) close() {
	for _, fd := range []int{p.epoll, p.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// woken takes back what interrupt said.
func (p *poller) woken() {
	var count [8]byte
	_, _ = unix.Read(p.wake, count[:])
}

// interrupt ends the wait that is under way, or the next one. It may be called from any goroutine, until close.
func (p *poller) interrupt() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wake, one[:])
}

func (p *poller) add(fd int, events uint32, key int32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: key})
}

// listen reports connections that wait, to one of the pollers that share the listener.
func (p *poller) listen(fd int) error {
	return p.add(fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, listenKey)
}

// watch reports what arrives at a socket, and the events besides, once each, under the key and the generation.
func (p *poller) watch(operation, fd int, besides uint32, key, generation int32) error {
	events := unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&(1<<32-1) | besides
	return unix.EpollCtl(p.epoll, operation, fd, &unix.EpollEvent{Events: events, Fd: key, Pad: generation})
}

func (p *poller) forget(fd int) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// wait returns what happened within d, rounded up to milliseconds, or nothing; a negative d is no limit.
// The result is valid until the next call.
func (p *poller) wait(d time.Duration) ([]unix.EpollEvent, error) {
	limit := -1
	if d >= 0 {
		limit = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	if p.busy && limit != 0 {
		return p.waitBusy(limit)
	}
	before := time.Now()
	n, err := unix.EpollWait(p.epoll, p.events, limit)
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wait for sockets: %w", err)
	}
	p.busy = p.mayHold && n > 0 && time.Since(before) < maxHold
	return p.events[:n], nil
}

// waitBusy waits without telling the runtime, which would send its monitor to look after us every 20 us: under load the monitor used
// a fifth of this server's CPU. The runtime gets the processor that we hold back at the latest after maxHold without events,
// and at once when it wants all to stop: its signal ends the wait.
func (p *poller) waitBusy(limit int) ([]unix.EpollEvent, error) {
	if most := int(maxHold / time.Millisecond); limit < 0 || limit > most {
		limit = most
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), // #nosec G103 -- the kernel fills the slice
		uintptr(limit), 0, 0)
	switch errno {
	case 0:
		p.busy = n > 0
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("wait for sockets: %w", errno)
}
