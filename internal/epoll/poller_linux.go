package epoll

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Keys of events that belong to no socket of the caller. The caller's own keys are 0 and more, or below TimerKey.
const (
	// InterruptKey is the key of the event of Interrupt.
	InterruptKey = -1
	// TimerKey is the key of the poller's own timer. Its event says nothing.
	TimerKey = -2
)

// BatchSize is how many events Wait returns at most.
const BatchSize = 256

// maxHold is how long a busy poller may keep the runtime's processor while it waits.
const maxHold = 20 * time.Millisecond

// Edge is EPOLLET as an event: a change of the socket is reported once.
const Edge = unix.EPOLLET & (1<<32 - 1)

// Config says how a poller waits. The zero value waits whole milliseconds and gives the processor back in every wait.
type Config struct {
	// Precise waits nanoseconds instead of milliseconds, by epoll_pwait2 or, where a kernel or a seccomp profile has
	// none, by a timer.
	Precise bool
	// Hold keeps the runtime's processor during short waits while events come close together. It must be set only where
	// the runtime has processors beside those of all threads that hold one.
	Hold bool
}

// Poller waits for sockets. All methods but Interrupt are for one thread.
type Poller struct {
	config           Config
	epoll, interrupt int
	// timer serves where there is no epoll_pwait2; it is -1 until then.
	timer  int
	span   unix.Timespec
	events []unix.EpollEvent
	// busy is set while events come close together.
	busy bool
}

// Open makes a poller without sockets. It fails where the process has no descriptors left.
func Open(config Config) (*Poller, error) {
	p := &Poller{config: config, interrupt: -1, timer: -1, events: make([]unix.EpollEvent, BatchSize)}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	if p.interrupt, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.Close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err = p.Add(p.interrupt, unix.EPOLLIN, InterruptKey, 0); err != nil {
		p.Close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return p, nil
}

// Close closes the poller, and none of the sockets that it watches.
func (p *Poller) Close() {
	for _, fd := range []int{p.epoll, p.interrupt, p.timer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Interrupt ends the wait that is under way, or the next one, and all that follow until Resume. Any goroutine may call
// Interrupt, until Close.
func (p *Poller) Interrupt() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.interrupt, one[:])
}

// Resume takes Interrupt back.
func (p *Poller) Resume() {
	var count [8]byte
	_, _ = unix.Read(p.interrupt, count[:])
}

// Add watches a descriptor until it is closed or removed. Its events carry the key in Fd and the serial number in Pad.
func (p *Poller) Add(fd int, events uint32, key, serial int32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: key, Pad: serial})
}

// Modify replaces the events, the key and the serial number of a watched descriptor.
func (p *Poller) Modify(fd int, events uint32, key, serial int32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: key, Pad: serial})
}

// Remove ends the watch of a descriptor.
func (p *Poller) Remove(fd int) { _ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) }

// Wait returns what happened within d, and at once when there is something; a negative d is no limit. It may return
// nothing before d has passed. The result is valid until the next call.
//
// While events come close together Wait does not tell the runtime that it waits. The runtime would send its monitor
// to look after the thread every 20 us, which was a fifth of a loaded responder's CPU. The runtime gets the processor
// at the latest after maxHold without events. It gets the processor at once when it wants all threads to stop: its
// signal ends the wait.
func (p *Poller) Wait(d time.Duration) ([]unix.EpollEvent, error) {
	if p.timer >= 0 {
		return p.waitByTimer(d)
	}
	var errno unix.Errno
	var n int
	if p.busy && d != 0 {
		n, errno = p.hold(d)
	} else {
		n, errno = p.release(d)
	}
	switch {
	case errno == 0:
		return p.events[:n], nil
	case errno == unix.EINTR:
		return nil, nil
	case p.config.Precise && (errno == unix.ENOSYS || errno == unix.EPERM):
		if err := p.openTimer(); err != nil {
			return nil, err
		}
		return p.waitByTimer(d)
	}
	return nil, fmt.Errorf("wait for sockets: %w", errno)
}

// hold waits for d or maxHold, whichever is less, without telling the runtime.
func (p *Poller) hold(d time.Duration) (int, unix.Errno) {
	if d < 0 || d > maxHold {
		d = maxHold
	}
	call, timeout := p.call(d)
	n, _, errno := unix.RawSyscall6(call, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events[0])), // #nosec G103 -- the kernel fills the slice
		BatchSize, timeout, 0, 0)
	p.busy = errno == 0 && n > 0
	return int(n), errno // #nosec G115 -- at most as many as the slice holds
}

// release waits for d and gives the runtime its processor meanwhile.
func (p *Poller) release(d time.Duration) (int, unix.Errno) {
	before := time.Now()
	call, timeout := p.call(d)
	n, _, errno := unix.Syscall6(call, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events[0])), // #nosec G103 -- the kernel fills the slice
		BatchSize, timeout, 0, 0)
	p.busy = p.config.Hold && errno == 0 && n > 0 && time.Since(before) < maxHold
	return int(n), errno // #nosec G115 -- at most as many as the slice holds
}

// call returns the number of the system call that waits, and its argument for d. The argument may point into the
// poller, which the garbage collector does not move.
func (p *Poller) call(d time.Duration) (number, timeout uintptr) {
	switch {
	case !p.config.Precise && d < 0:
		return unix.SYS_EPOLL_PWAIT, ^uintptr(0)
	case !p.config.Precise:
		ceil := (d + time.Millisecond - 1) / time.Millisecond
		return unix.SYS_EPOLL_PWAIT, uintptr(ceil) // #nosec G115 -- d is not negative
	case d < 0:
		return unix.SYS_EPOLL_PWAIT2, 0
	}
	p.span = unix.NsecToTimespec(int64(d))
	return unix.SYS_EPOLL_PWAIT2, uintptr(unsafe.Pointer(&p.span)) // #nosec G103 -- the kernel reads it
}

func (p *Poller) openTimer() error {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("create timer: %w", err)
	}
	p.timer = timer
	if err := p.Add(timer, unix.EPOLLIN, TimerKey, 0); err != nil {
		return fmt.Errorf("watch timer: %w", err)
	}
	return nil
}

func (p *Poller) waitByTimer(d time.Duration) ([]unix.EpollEvent, error) {
	limit := 0
	if d != 0 {
		// Setting the timer also takes its last event back. A timer of 0 never ends.
		span := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 0)))}
		if err := unix.TimerfdSettime(p.timer, 0, &span, nil); err != nil {
			return nil, fmt.Errorf("set timer: %w", err)
		}
		limit = -1
	}
	n, err := unix.EpollWait(p.epoll, p.events, limit)
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wait for sockets: %w", err)
	}
	return p.events[:n], nil
}
