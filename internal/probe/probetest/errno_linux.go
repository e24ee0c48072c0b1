package probetest

import (
	"syscall"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
)

// mostErrno is above every error number of Linux.
const mostErrno = 140

// errnos are the outcomes of attempts whose connect(2) fails with the number. All others are probe.Other.
func errnos() map[syscall.Errno]probe.Outcome {
	return map[syscall.Errno]probe.Outcome{
		// The network answers that there is no route, or the node decides so: netfilter's REJECT of all types, routes
		// of all types, ICMP of both families.
		syscall.ECONNREFUSED: probe.Refused, syscall.ENETUNREACH: probe.Unreachable,
		syscall.EHOSTUNREACH: probe.Unreachable, syscall.EHOSTDOWN: probe.Unreachable,
		syscall.ENETDOWN: probe.Unreachable, syscall.EAFNOSUPPORT: probe.Unreachable,
		syscall.ENOPROTOOPT: probe.Unreachable, syscall.EPROTO: probe.Unreachable,
		syscall.EINVAL: probe.Unreachable, syscall.ENONET: probe.Unreachable,
		// A policy refuses.
		syscall.EPERM: probe.Refused, syscall.EACCES: probe.Refused,
		// The connection ends.
		syscall.ECONNRESET: probe.Reset, syscall.EPIPE: probe.Reset, syscall.ECONNABORTED: probe.Reset,
		syscall.ETIMEDOUT: probe.Timeout,
		// The agent or its node has run out of something.
		syscall.EADDRNOTAVAIL: probe.NotSent, syscall.EADDRINUSE: probe.NotSent, syscall.EMFILE: probe.NotSent,
		syscall.ENFILE:  probe.NotSent,
		syscall.ENOBUFS: probe.NotSent, syscall.ENOMEM: probe.NotSent, syscall.EAGAIN: probe.NotSent,
		syscall.ENOSPC: probe.NotSent,
	}
}

// Errnos checks the outcomes of attempts whose connect(2) fails with each of Linux's error numbers.
func Errnos(t *testing.T, connect func(syscall.Errno) probe.Sample) {
	t.Helper()
	wanted := errnos()
	for errno := syscall.Errno(1); errno <= mostErrno; errno++ {
		outcome, ok := wanted[errno]
		if !ok {
			outcome = probe.Other
		}
		if got := connect(errno); got.Outcome != outcome || got.Phase != probe.Connect || got.Message == "" {
			t.Errorf("%v (%d) is %v at %q with message %q, want %v", errno, int(errno), got.Outcome, got.Phase,
				got.Message, outcome)
		}
	}
}
