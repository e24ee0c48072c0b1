package httpprobe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
)

func TestErrorsOfTheNetworkAreTold(t *testing.T) {
	errno := func(e syscall.Errno) error {
		return fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(198, 18, 0, 1), Port: 80}, Err: os.NewSyscallError("connect", e)})
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
			"permission denied: a policy or route on the agent's own node refused it, or over IPv6 a router on the way"},
		{errno(syscall.EINVAL), probe.Unreachable, "invalid argument: a route on the agent's own node discards it"},
		{errno(syscall.ENOSPC), probe.NotSent, "no space left on device"},
		{errno(syscall.EAGAIN), probe.NotSent, "resource temporarily unavailable"},
		{errno(syscall.ETIMEDOUT), probe.Timeout, "connection timed out"},
		{errno(syscall.ENOTTY), probe.Other, "inappropriate ioctl for device"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, probe.Timeout, "no answer in time"},
		{context.DeadlineExceeded, probe.Timeout, "no answer in time"},
		{&net.DNSError{Err: "no such host", Name: "x", Server: "198.18.0.1:53", IsNotFound: true}, probe.DNSFailed, "no such host"},
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

func TestResponderSaysWhoItIs(t *testing.T) {
	identity := Identity{Installation: "k/agent", Pod: "a", PodUID: "u", Node: "n"}
	request := httptest.NewRequest(http.MethodGet, "http://h.example/some/path", nil)
	recorder := httptest.NewRecorder()
	NewResponder(identity).ServeHTTP(recorder, request)
	var got map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kdoctor": map[string]any{"installation": "k/agent", "pod": "a", "podUID": "u", "node": "n"},
		"clientAddress": request.RemoteAddr, "method": "GET", "path": "/some/path", "host": "h.example"}
	if diff := cmp.Diff(want, got); diff != "" || recorder.Code != 200 {
		t.Errorf("status %d, answer (-want +got):\n%s", recorder.Code, diff)
	}
}

func TestAnswerStaysSmallWhateverIsAsked(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "http://h/"+strings.Repeat("%00", 100_000), nil)
	recorder := httptest.NewRecorder()
	NewResponder(Identity{}).ServeHTTP(recorder, request)
	if n := recorder.Body.Len(); n > 8<<10 {
		t.Errorf("the answer has %d bytes", n)
	}
}

func TestResponderCountsByRound(t *testing.T) {
	h := NewResponder(Identity{})
	send := func(round string) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set(RoundHeader, round)
		h.ServeHTTP(httptest.NewRecorder(), request)
	}
	send("a/1/1")
	send("a/1/1")
	send("a/1/2")
	for _, foreign := range []string{"", "a", "a/1", "a/1/1/1", "/1/1", "a/x/1", "a/1/-1", "a b/1/1", "a/1/kept", "/kept", "a/1/1/", "a/1/1/Kept", "a/1/1/kept/kept", strings.Repeat("a", 120) + "/1/1/kept", strings.Repeat("a", 200) + "/1/1"} {
		send(foreign)
		if n := h.Served(foreign); n != 0 {
			t.Errorf("round %q counts %d", foreign, n)
		}
	}
	if a, b := h.Served("a/1/1"), h.Served("a/1/2"); a != 2 || b != 1 {
		t.Errorf("rounds count %d and %d, want 2 and 1", a, b)
	}
	send("a/1/1" + KeptSuffix)
	if counted, kept := h.Served("a/1/1"), h.Served("a/1/1/kept"); counted != 2 || kept != 1 {
		t.Errorf("the round counts %d and its kept stream %d, want 2 and 1", counted, kept)
	}
	send("a/1/1")
	for i := range MaxRounds - 1 {
		send(fmt.Sprintf("flood/1/%d", i))
	}
	if a, b := h.Served("a/1/1"), h.Served("a/1/2"); a != 3 || b != 0 {
		t.Errorf("after a flood the rounds count %d and %d, want 3 and 0: the quietest makes room", a, b)
	}
	if len(h.rounds) != MaxRounds {
		t.Errorf("%d rounds are counted, want at most %d", len(h.rounds), MaxRounds)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"kdoctor":{"installation":"a/b","pod":"c"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err == nil && (a.Kdoctor.Pod == "" || len(a.Kdoctor.Pod) > maxPodBytes || bytes.ContainsAny([]byte(a.Kdoctor.Pod), "\r\n ")) {
			t.Errorf("accepted pod %q", a.Kdoctor.Pod)
		}
	})
}
