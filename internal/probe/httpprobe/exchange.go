package httpprobe

import (
	"net"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
)

// exchange sends the request and judges the answer. readToEnd reports that the answer was read to its end, reusable
// that another request may follow on the same connection.
func (a *attempt) exchange(conn net.Conn) (readToEnd, reusable bool) {
	reply, ok := a.head(conn)
	if !ok {
		a.end(time.Now())
		JudgeReuse(reply.Answered(), &a.sample)
		return false, false
	}
	defer reply.Discard()
	body, err := reply.Body(echo.MaxBodyBytes)
	now := time.Now()
	a.sample.Bytes = int64(len(body))
	if err != nil {
		a.failed(probe.Body, err)
	} else {
		a.config.JudgeBody(a.target, body, &a.sample)
	}
	if a.sample.Outcome == probe.OK {
		a.passed(probe.Body, now)
	}
	a.end(now)
	return err == nil, err == nil && reply.Reusable()
}

// head sends the request and reads up to the final headers. It reports false when that ended the attempt.
func (a *attempt) head(conn net.Conn) (*Reply, bool) {
	reply := NewReply(conn)
	wire, err := a.config.Request(a.url)
	if err != nil {
		a.notSent(probe.NoPhase, "the request cannot be written")
		return reply, false
	}
	if _, err := conn.Write(wire); err != nil {
		a.failed(probe.FirstByte, err)
		return reply, false
	}
	if err := reply.Head(a.config.HTTPRequest(a.url)); err != nil {
		a.failed(probe.FirstByte, err)
		return reply, false
	}
	if !a.config.JudgeStatus(reply.Response.StatusCode, &a.sample) {
		reply.Discard()
		return reply, false
	}
	a.passed(probe.FirstByte, reply.First)
	return reply, true
}
