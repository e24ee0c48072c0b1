package httpprobe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"kdoctor.io/kdoctor/internal/probe"
)

// classify tells what an error of the network means. Its message holds no address and no port, so that equal failures read equal.
// What is no error of the network came from reading the answer: then the answer was none of ours.
func classify(err error) (probe.Outcome, string) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return ofErrno(errno), errno.Error()
	}
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout()) {
		return probe.Timeout, "no answer in time"
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return probe.DNSFailed, dns.Err
	}
	var operation *net.OpError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return probe.BadAnswer, "the connection was closed before the answer was complete"
	case errors.Is(err, ErrStatus), errors.Is(err, ErrHeaders), errors.Is(err, ErrBody):
		return probe.BadAnswer, err.Error()
	case errors.As(err, &operation):
		return probe.Other, operation.Err.Error()
	}
	return probe.BadAnswer, "the answer is not HTTP"
}

func ofErrno(errno syscall.Errno) probe.Outcome {
	if errno == noNetwork {
		return probe.Unreachable
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return probe.Refused
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return probe.Reset
	// EAFNOSUPPORT is what a kernel without IPv6 says.
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.ENOPROTOOPT, syscall.EPROTO:
		return probe.Unreachable
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EACCES, syscall.EAGAIN:
		return probe.NotSent
	case syscall.ETIMEDOUT:
		return probe.Timeout
	default:
		return probe.Other
	}
}
