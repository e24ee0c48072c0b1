//go:build linux

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Keys of descriptors in the epoll set that belong to no attempt.
const (
	wakeKey  = -1
	timerKey = -2
)

// eventBatch is how many events are taken from the kernel at once.
const eventBatch = 256

// maxHold is how long a busy poller may keep the runtime's processor while it waits.
const maxHold = 20 * time.Millisecond

// poller waits for sockets with a precision of nanoseconds: the runtime's own waits whole milliseconds.
type poller struct {
	epoll, wake int
	// timer serves where the kernel or a seccomp profile has no epoll_pwait2; it is -1 until then.
	timer  int
	span   unix.Timespec
	events []unix.EpollEvent
	// mayHold tells that the runtime has processors beside the one that runs us; busy that events come one soon after the other.
	mayHold, busy bool
}

func openPoller() (*poller, error) {
	p := &poller{timer: -1, events: make([]unix.EpollEvent, eventBatch)}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(p.epoll)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err = p.add(p.wake, unix.EPOLLIN, wakeKey, 0); err != nil {
		p.close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return p, nil
}

func (p *poller) close() {
	for _, fd := range []int{p.epoll, p.wake, p.timer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// interrupt ends the wait that is under way, or the next one. It may be called from any goroutine, until close.
func (p *poller) interrupt() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wake, one[:])
}

func (p *poller) add(fd int, events uint32, key, serial int32) error {
	event := unix.EpollEvent{Events: events, Fd: key, Pad: serial}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epoll), unix.EPOLL_CTL_ADD, uintptr(fd),
		uintptr(unsafe.Pointer(&event)), 0, 0) // #nosec G103 -- the kernel reads it
	return asError(errno)
}

// watch reports every change of a socket under the key and the serial number, once and as long as it is open.
func (p *poller) watch(fd int, key, serial int32) error {
	return p.add(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET&(1<<32-1), key, serial)
}

// nap waits whatever happens. A signal may end it early.
func nap(d time.Duration) {
	if d > 0 {
		span := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &span, nil)
	}
}

// wait returns what happened within d, at once when there is something. The result is valid until the next call.
func (p *poller) wait(d time.Duration) ([]unix.EpollEvent, error) {
	if p.timer >= 0 {
		return p.waitByTimer(d)
	}
	n, errno := p.waitPrecisely(d)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	case unix.ENOSYS, unix.EPERM:
		if err := p.openTimer(); err != nil {
			return nil, err
		}
		return p.waitByTimer(d)
	}
	return nil, fmt.Errorf("wait for sockets: %w", errno)
}

// waitPrecisely waits for d, or for less while events come close together: then it does not tell the runtime, which would send its monitor to look
// after us every 20 us, and the monitor's CPU counts as the load's. The runtime gets the processor that we hold back at the latest after
// maxHold without events, and at once when it wants all to stop: its signal ends the wait.
func (p *poller) waitPrecisely(d time.Duration) (int, unix.Errno) {
	if p.busy && d > 0 {
		p.span = unix.NsecToTimespec(int64(min(d, maxHold)))
		got, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), // #nosec G103 -- the kernel fills the slice
			uintptr(unsafe.Pointer(&p.span)), 0, 0) // #nosec G103 -- the kernel reads it
		p.busy = errno == 0 && got > 0
		return int(got), errno // #nosec G115 -- at most as many as the slice holds
	}
	before := time.Now()
	p.span = unix.NsecToTimespec(int64(max(d, 0)))
	got, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), // #nosec G103 -- the kernel fills the slice
		uintptr(unsafe.Pointer(&p.span)), 0, 0) // #nosec G103 -- the kernel reads it
	p.busy = p.mayHold && errno == 0 && got > 0 && time.Since(before) < maxHold
	return int(got), errno // #nosec G115 -- at most as many as the slice holds
}

func (p *poller) openTimer() (err error) {
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		p.timer = -1
		return fmt.Errorf("create timer: %w", err)
	}
	if err = p.add(p.timer, unix.EPOLLIN, timerKey, 0); err != nil {
		return fmt.Errorf("watch timer: %w", err)
	}
	return nil
}

func (p *poller) waitByTimer(d time.Duration) ([]unix.EpollEvent, error) {
	limit := 0
	if d > 0 {
		// Setting the timer also takes back what it had to say.
		if err := unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err != nil {
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
