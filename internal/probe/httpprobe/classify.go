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

// classify returns what an error of the network in the given phase means. The message holds no address and no port, so
// that equal failures read equal. Any other error came from reading the answer: none of our agents gave that answer.
func classify(phase probe.Phase, err error) (probe.Outcome, string) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return ofErrno(phase, errno)
	}
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		(errors.As(err, &timeout) && timeout.Timeout()) {
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

// What the node itself decides over an attempt, beside what answers from the network say.
//
// EPERM comes from the node alone: a BPF program at the socket (a policy at connect; Cilium without kube-proxy, for a
// Service without backends), or seccomp. EACCES comes from a security module or a "prohibit" route of the node; over
// IPv6 also from a router or firewall, by ICMPv6 "administratively prohibited", which over IPv4 reads EHOSTUNREACH.
// EINVAL comes from a blackhole route of the node.
const (
	byPolicy    = ": a policy on the agent's own node refused it"
	byProhibit  = ": a policy or route on the agent's own node refused it, or over IPv6 a router on the way"
	byBlackhole = ": a route on the agent's own node discards it"
)

// ofErrno returns the outcome of an attempt for which the system returned the error number. What the network answers
// (ICMP, a reset) and what the node decides (a route, a rejecting rule of netfilter, a BPF program, a security module)
// are both failures of the path. Only what this process or its node ran out of is NotSent.
func ofErrno(phase probe.Phase, errno syscall.Errno) (probe.Outcome, string) {
	message := errno.Error()
	if errno == noNetwork {
		return probe.Unreachable, message
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return probe.Refused, message
	case syscall.EPERM:
		return probe.Refused, message + byPolicy
	case syscall.EACCES:
		return probe.Refused, message + byProhibit
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return probe.Reset, message
	// EAFNOSUPPORT comes from a kernel without IPv6.
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EAFNOSUPPORT, syscall.ENOPROTOOPT, syscall.EPROTO:
		return probe.Unreachable, message
	// ENOSPC: the user watches as many sockets as the kernel allows.
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EAGAIN, syscall.ENOSPC:
		return probe.NotSent, message
	case syscall.ETIMEDOUT:
		return probe.Timeout, message
	case syscall.EINVAL:
		if phase == probe.Connect {
			return probe.Unreachable, message + byBlackhole
		}
	}
	return probe.Other, message
}
