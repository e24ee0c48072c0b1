package tlsprobe

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// reply is the answer to one request, up to its headers.
type reply struct {
	response *http.Response
	// first is when the first byte arrived.
	first time.Time
	// body reads the body up to the bound, with an error that JudgeError knows.
	body func(limit int) ([]byte, error)
	// reusable reports, when the body was read, whether the connection may carry another request.
	reusable func() bool
	discard  func()
}

// request makes one request to the URL. It returns where a redirect leads to, if the attempt may follow one, or else
// when the attempt ended.
func (a *attempt) request(ctx context.Context, to *url.URL, follow bool) (next *url.URL, ended time.Time) {
	c, phase, err := a.connect(ctx, to)
	if err != nil {
		a.failed(phase, err)
		return nil, time.Now()
	}
	before := httpprobe.Retransmits(c.wire.tcp)
	stop := a.limit(c)
	next, now, readToEnd, reusable := a.exchange(ctx, c, to, follow)
	// An interruption about to come would hit the next user of the connection.
	undisturbed := stop()
	a.sample.Retransmits += httpprobe.Retransmits(c.wire.tcp) - before
	switch {
	case a.config.Keep && reusable && undisturbed && now.Sub(a.sample.Start) <= a.config.Timeout:
		a.idle.Release(a.destination(to), c)
	case readToEnd:
		c.reset()
	default:
		c.close()
	}
	if next != nil {
		return next, time.Time{}
	}
	return nil, now
}

// limit ends what is under way on the connection with the attempt's time or its round. The client of HTTP/2 obeys the
// context itself, and would take its connection's deadline for the connection's end.
func (a *attempt) limit(c *connection) (stop func() bool) {
	if c.client != nil {
		return func() bool { return a.outer.Err() == nil }
	}
	_ = c.wire.SetDeadline(a.sample.Start.Add(a.config.Timeout))
	// The interruption is registered after the deadline, so that the deadline does not overwrite it.
	return context.AfterFunc(a.outer, func() { _ = c.wire.SetDeadline(time.Unix(1, 0)) })
}

// exchange sends the request and judges the answer, or returns where the answer redirects to. now is when the answer's
// end was read. readToEnd reports that the answer was read to its end, reusable that another request may follow on the
// same connection.
func (a *attempt) exchange(ctx context.Context, c *connection, to *url.URL, follow bool) (next *url.URL,
	now time.Time, readToEnd, reusable bool) {
	r, answered, err := a.send(ctx, c, to)
	c.proven = c.proven || answered
	if err != nil {
		a.failed(probe.FirstByte, cause(c, err))
		httpprobe.JudgeReuse(answered || c.opener == a, &a.sample)
		return nil, time.Now(), false, false
	}
	defer r.discard()
	if follow && r.response.StatusCode != cmp.Or(a.config.Status, http.StatusOK) {
		next = location(r.response, to)
	}
	if next == nil && !a.config.JudgeStatus(r.response.StatusCode, &a.sample) {
		return nil, time.Now(), false, false
	}
	a.passed(probe.FirstByte, r.first)
	body, err := r.body(int(a.config.MaxBody))
	now = time.Now()
	if err != nil {
		a.sample.Status, a.sample.Bytes = r.response.StatusCode, int64(len(body))
		a.failed(probe.Body, cause(c, err))
		return nil, now, false, false
	}
	if next == nil {
		a.sample.Bytes = int64(len(body))
		a.config.JudgeBody(a.target, body, &a.sample)
	}
	if next == nil && a.sample.Outcome != probe.OK {
		return nil, now, true, false
	}
	a.passed(probe.Body, now)
	return next, now, true, a.config.Keep && r.reusable()
}

// send sends the request and reads up to the final headers. answered reports that at least one byte arrived.
func (a *attempt) send(ctx context.Context, c *connection, to *url.URL) (r reply, answered bool, err error) {
	if c.client != nil {
		return a.sendHTTP2(ctx, c, to)
	}
	request, err := a.config.Request(to)
	if err != nil {
		return reply{}, false, err
	}
	conn := c.stream()
	if _, err := conn.Write(request); err != nil {
		return reply{}, false, err
	}
	plain := httpprobe.NewReply(conn)
	if err := plain.Head(a.config.HTTPRequest(to)); err != nil {
		return reply{}, plain.Answered(), err
	}
	return reply{response: plain.Response, first: plain.First, body: plain.Body, discard: plain.Discard,
		reusable: func() bool { return plain.Reusable() && c.drained() }}, true, nil
}

// cause returns what an error of a connection means, where TLS or the client of HTTP/2 hides it.
//
// With TLS 1.3 a server judges the client's certificate when the client has already begun to speak. The server says why
// it ends the connection, but the network can lose that. The end of a connection that never answered is therefore put
// down to the certificate, where the server asked for one.
func cause(c *connection, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if remoteAlert(err) {
		return handshakeError(err)
	}
	if broken := c.wire.broken(); c.http2 && !c.proven && broken != nil {
		err = broken
	}
	var errno syscall.Errno
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &errno)
	if c.asked && !c.proven && (ended || c.http2) {
		return errCertificateAsked
	}
	return err
}

// location returns where a redirect leads to, nil for an answer that is no redirect or has no valid Location.
func location(answer *http.Response, from *url.URL) *url.URL {
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	text := answer.Header.Get("Location")
	if text == "" {
		return nil
	}
	to, err := from.Parse(text)
	if err != nil || (to.Scheme != "http" && to.Scheme != "https") || to.Hostname() == "" {
		return nil
	}
	return to
}
