package tlsprobe

import (
	"context"
	"io"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// sendHTTP2 is send over HTTP/2. net/http never retries on a connection of its caller.
func (a *attempt) sendHTTP2(ctx context.Context, c *connection, to *url.URL) (r reply, answered bool, err error) {
	// first is when the first byte arrived, in nanoseconds from the attempt's start.
	var first atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() {
		first.CompareAndSwap(0, max(int64(time.Since(a.sample.Start)), 1))
	}})
	answer, err := c.client.RoundTrip(a.config.HTTPRequest(to).WithContext(traced))
	answered = first.Load() > 0
	if err != nil {
		return reply{}, answered, err
	}
	leave := func() { _ = answer.Body.Close() }
	if answer.StatusCode < 200 {
		leave()
		return reply{}, answered, httpprobe.ErrStatus
	}
	at := time.Now()
	if answered {
		at = a.sample.Start.Add(time.Duration(first.Load()))
	}
	body := func(limit int) ([]byte, error) {
		read, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
		if err == nil && len(read) > limit {
			err = httpprobe.ErrBody
		}
		return read, err
	}
	return reply{response: answer, first: at, body: body, discard: leave, reusable: c.usable}, true, nil
}
