package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/bench/internal/arrival"
	"kdoctor.io/kdoctor/bench/internal/message"
)

// paced starts a goroutine that does nothing at every moment of an absolute schedule, and measures how late each
// started.
func paced(o options, wait func(time.Time)) message.Load {
	n := int(o.duration.Seconds() * float64(o.rate))
	late := make([]float64, n)
	var running sync.WaitGroup
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
		wait(due)
		running.Go(func() { late[i] = time.Since(due).Seconds() })
	}
	running.Wait()
	return lateness(late)
}

// lateness is the result of a pacer: everything was sent, each so many seconds late.
func lateness(late []float64) message.Load {
	n := uint64(len(late))
	return message.Load{Scheduled: n, Sent: n, OK: n, Lag: arrival.Ranks(late)}
}

// thread measures the same for a thread that sleeps in the kernel until each moment and does nothing else: the floor of
// the machine.
func thread(o options) (message.Load, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return message.Load{}, fmt.Errorf("set timer slack: %w", err)
	}
	var begin unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &begin); err != nil {
		return message.Load{}, fmt.Errorf("read the clock: %w", err)
	}
	n := int(o.duration.Seconds() * float64(o.rate))
	late := make([]float64, n)
	for i := range n {
		due := begin.Nano() + int64(i)*int64(time.Second)/int64(o.rate)
		at := unix.NsecToTimespec(due)
		for {
			err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EINTR) {
				return message.Load{}, fmt.Errorf("sleep: %w", err)
			}
		}
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return message.Load{}, fmt.Errorf("read the clock: %w", err)
		}
		late[i] = time.Duration(now.Nano() - due).Seconds()
	}
	return lateness(late), nil
}
