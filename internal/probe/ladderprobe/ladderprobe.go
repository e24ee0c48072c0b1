// Package ladderprobe sends the probes of the ladder of paths (internal/ladder). A few packets for each address, paced
// and bounded: these probes tell components apart, and are no load.
package ladderprobe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
)

const (
	// parallel bounds the attempts under way, so that the agent is not itself the cause of delays.
	parallel = 32
	// pace is the time between the starts of two attempts.
	pace = 4 * time.Millisecond
	// mostSearches bounds the searches for the size of the largest packet in one run: a broken link shows on many
	// paths.
	mostSearches = 4
	// searchWithin bounds all searches of one run.
	searchWithin = 3 * time.Second
)

// errOwn marks an error that is the agent's own, such as no more file descriptors: nothing was sent.
var errOwn = errors.New("the agent could not send")

// attempt is the outcome of one attempt.
type attempt struct {
	took    time.Duration
	peer    string
	retried bool
	failure ladder.Failure
	err     error
}

// Run sends all probes and returns their results in the same order. An attempt that the context cuts off is not
// counted.
func Run(ctx context.Context, specs []ladder.Spec) []ladder.Result {
	results := make([]ladder.Result, len(specs))
	slots, starts := make(chan struct{}, parallel), time.NewTicker(pace)
	defer starts.Stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	for round := range ladder.MaxCount {
		for i, spec := range specs {
			if round >= spec.Count || !next(ctx, slots, starts.C) {
				continue
			}
			all.Go(func() {
				defer func() { <-slots }()
				got := once(ctx, spec)
				mu.Lock()
				defer mu.Unlock()
				if ctx.Err() == nil {
					add(&results[i], got)
				}
			})
		}
	}
	all.Wait()
	search(ctx, specs, results)
	return results
}

// next waits for a slot and for the next start. It returns false when the context ends.
func next(ctx context.Context, slots chan struct{}, start <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-start:
	}
	select {
	case <-ctx.Done():
		return false
	case slots <- struct{}{}:
		return true
	}
}

// once makes one attempt.
func once(ctx context.Context, spec ladder.Spec) attempt {
	bounded, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	switch spec.Method {
	case ladder.UDP:
		return askUDP(bounded, spec, spec.Bytes)
	case ladder.ICMP:
		return askICMP(bounded, spec)
	case ladder.TCP, ladder.HTTP:
		return askTCP(bounded, spec)
	case ladder.DNS:
		return askDNS(bounded, spec)
	}
	return attempt{err: errors.New("there is no method " + string(spec.Method))}
}

// add counts an attempt.
func add(r *ladder.Result, a attempt) {
	switch {
	case errors.Is(a.err, errOwn):
		return
	case a.err != nil:
		r.Unsupported = a.err.Error()
		return
	}
	r.Sent++
	if a.failure != "" {
		if r.Failures == nil {
			r.Failures = map[ladder.Failure]uint64{}
		}
		r.Failures[a.failure]++
	} else {
		r.Mean = (r.Mean*time.Duration(r.Answered) + a.took) / time.Duration(r.Answered+1) // #nosec G115 -- at most MaxCount
		r.Max = max(r.Max, a.took)
		r.Answered++
	}
	if a.retried && a.failure == "" {
		r.Retried++
	}
	if a.peer != "" {
		if r.Peers == nil {
			r.Peers = map[string]uint64{}
		}
		r.Peers[a.peer]++
	}
}

// failed returns the attempt that failed with the error. connected says that a connection had been made.
func failed(err error, connected bool) attempt {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return attempt{failure: ladder.Refused}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF):
		return attempt{failure: ladder.Reset}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return attempt{failure: ladder.Unreachable}
	case errors.Is(err, syscall.EMSGSIZE):
		return attempt{failure: ladder.TooLarge}
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return attempt{failure: ladder.NotPermitted}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		if connected {
			return attempt{failure: ladder.NoReply}
		}
		return attempt{failure: ladder.NoAnswer}
	}
	return attempt{err: errors.Join(errOwn, err)}
}

// until sets the connection's deadline to that of the context, and cuts the connection off when the context is
// cancelled. The returned function ends that.
func until(ctx context.Context, conn net.Conn) func() bool {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a closed connection fails at the next call anyway
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
}
