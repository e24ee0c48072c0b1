package httpprobe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// What is wrong with an answer, beside errors of the network. JudgeError knows these errors.
var (
	// ErrStatus is for an answer without a final status code: too many interim answers, a switch of protocols, a number
	// below 100.
	ErrStatus = errors.New("no final HTTP status")
	// ErrHeaders is for more than MaxHeaderBytes before the body.
	ErrHeaders = errors.New("the answer's headers are too long")
	// ErrBody is for a body of more than echo.MaxBodyBytes, or more than MaxFraming around it.
	ErrBody = errors.New("the answer's body is too long")
)

// Request returns the bytes that an attempt sends: all implementations of the probe send the same. Where connections
// are persistent the request does not ask the other side to close them.
func (c Config) Request(to *url.URL) ([]byte, error) {
	var wire bytes.Buffer
	if err := c.HTTPRequest(to).Write(&wire); err != nil {
		return nil, err
	}
	return wire.Bytes(), nil
}

// HTTPRequest returns the same request for net/http.
func (c Config) HTTPRequest(to *url.URL) *http.Request {
	return &http.Request{Method: http.MethodGet, URL: to, Host: to.Host, Close: !c.Keep, Header: http.Header{
		"User-Agent": {"kdoctor-agent"}, echo.RoundHeader: {c.Round}, echo.SourceHeader: {c.Source}}}
}

// JudgeStatus sets the status of an answer, and reports whether its body is worth reading. Any other status ends the
// attempt.
func (c Config) JudgeStatus(status int, s *probe.Sample) bool {
	s.Status = status
	want := cmp.Or(c.Status, http.StatusOK)
	if status != want {
		fail(s, probe.BadStatus, probe.FirstByte, fmt.Sprintf("status %d instead of %d", status, want))
	}
	return status == want
}

// JudgeBody decides whether a complete answer with the right status came from the expected agent.
func (c Config) JudgeBody(t target.Target, body []byte, s *probe.Sample) {
	answer, err := echo.ParseAnswer(body)
	if err != nil {
		fail(s, probe.BadAnswer, probe.Body, err.Error())
		return
	}
	if answer.Kdoctor.Installation != c.Installation {
		fail(s, probe.BadAnswer, probe.Body, "an agent of another installation answered")
		return
	}
	s.Peer = answer.Kdoctor.Pod
	if t.Pod != "" && answer.Kdoctor.Pod != t.Pod {
		fail(s, probe.WrongPeer, probe.Body, fmt.Sprintf("pod %s answered instead of %s", answer.Kdoctor.Pod, t.Pod))
		return
	}
	s.Outcome = probe.OK
}

// JudgeError decides what an error of the given phase means.
func (c Config) JudgeError(phase probe.Phase, err error, s *probe.Sample) {
	outcome, message := classify(phase, err)
	if outcome == probe.Timeout {
		message = fmt.Sprintf("no answer within %v", c.Timeout)
	}
	fail(s, outcome, phase, message)
}

// JudgeReuse sets Closed for a failed attempt over a reused connection that the other side had closed before it
// answered anything. answered says that at least one byte came. The outcome stays, and nothing is ever sent again
// because of it.
func JudgeReuse(answered bool, s *probe.Sample) {
	s.Closed = s.Reused && !answered && s.Phase == probe.FirstByte &&
		(s.Outcome == probe.Reset || s.Outcome == probe.BadAnswer)
}

// Abort sets the outcome of an attempt whose round was stopped in the given phase: what the stop breaks says nothing
// about the network.
func Abort(phase probe.Phase, s *probe.Sample) {
	fail(s, probe.Aborted, phase, "the round was stopped")
}

func fail(s *probe.Sample, outcome probe.Outcome, phase probe.Phase, message string) {
	s.Outcome, s.Phase, s.Message = outcome, phase, message
}
