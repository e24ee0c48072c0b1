package httpprobe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
)

func TestErrorsOfTheNetworkAreTold(t *testing.T) {
	errno := func(e syscall.Errno) error {
		return fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Net: "tcp",
			Addr: &net.TCPAddr{IP: net.IPv4(198, 18, 0, 1), Port: 80}, Err: os.NewSyscallError("connect", e)})
	}
	cases := []struct {
		err     error
		want    probe.Outcome
		message string
	}{
		{errno(syscall.ECONNREFUSED), probe.Refused, "connection refused"},
		{errno(syscall.EPIPE), probe.Reset, "broken pipe"},
		{errno(syscall.EHOSTUNREACH), probe.Unreachable, "no route to host"},
		{errno(syscall.ENETUNREACH), probe.Unreachable, "network is unreachable"},
		{errno(syscall.EADDRNOTAVAIL), probe.NotSent, "cannot assign requested address"},
		{errno(syscall.ENFILE), probe.NotSent, "too many open files in system"},
		{errno(syscall.EPERM), probe.Refused, "operation not permitted: a policy on the agent's own node refused it"},
		{errno(syscall.EACCES), probe.Refused,
			"permission denied: a policy or route on the agent's own node refused it, " +
				"or over IPv6 a router on the way"},
		{errno(syscall.EINVAL), probe.Unreachable, "invalid argument: a route on the agent's own node discards it"},
		{errno(syscall.ENOSPC), probe.NotSent, "no space left on device"},
		{errno(syscall.EAGAIN), probe.NotSent, "resource temporarily unavailable"},
		{errno(syscall.ETIMEDOUT), probe.Timeout, "connection timed out"},
		{errno(syscall.ENOTTY), probe.Other, "inappropriate ioctl for device"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, probe.Timeout, "no answer in time"},
		{context.DeadlineExceeded, probe.Timeout, "no answer in time"},
		{&net.DNSError{Err: "no such host", Name: "x", Server: "198.18.0.1:53", IsNotFound: true}, probe.DNSFailed,
			"no such host"},
		{&net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}, probe.Timeout, "no answer in time"},
		{errors.New("malformed HTTP response"), probe.BadAnswer, "the answer is not HTTP"},
	}
	for _, c := range cases {
		outcome, message := classify(probe.Connect, c.err)
		if outcome != c.want || message != c.message {
			t.Errorf("%v is %v with message %q, want %v with %q", c.err, outcome, message, c.want, c.message)
		}
	}
}

func TestOnlyConnectingIsWhatABlackholeRouteDiscards(t *testing.T) {
	for phase := range probe.Phases {
		want, message := probe.Other, "invalid argument"
		if phase == probe.Connect {
			want, message = probe.Unreachable, message+byBlackhole
		}
		if outcome, got := classify(phase, syscall.EINVAL); outcome != want || got != message {
			t.Errorf("at %q EINVAL is %v with message %q, want %v with %q", phase, outcome, got, want, message)
		}
	}
}
