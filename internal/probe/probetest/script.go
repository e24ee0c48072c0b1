package probetest

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
)

func body(installation, peer string) string {
	return fmt.Sprintf(`{"kdoctor":{"installation":%q,"pod":%q,"podUID":"u","node":"n"},`+
		`"clientAddress":"","method":"GET","path":"/","host":""}`, installation, peer)
}

func complete(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// large is a body of the largest size, padded as by a responder.
func large() string {
	text := body(ours, pod)
	return text + strings.Repeat(" ", echo.MaxBodyBytes-len(text))
}

// cut removes the last byte.
func cut(text string) string { return text[:len(text)-1] }

const partial = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"

// script is a server that reads one request, writes its text, then does what end says.
type script struct {
	name    string
	text    string
	end     func(net.Conn)
	timeout time.Duration
	want    want
}

func closed(c net.Conn) { _ = c.Close() }

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// stalled keeps the connection open until the client goes away.
func stalled(c net.Conn) {
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// endless repeats the text until the client goes away.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				_ = c.Close()
				return
			}
		}
	}
}

func answers(t *testing.T, newProber NewHTTP) {
	for _, s := range []script{
		{"another status", complete(503, body(ours, pod)), closed, long, want{probe.BadStatus, probe.FirstByte, 503}},
		{"another status with a body that does not come", "HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\n", stalled,
			long, want{probe.BadStatus, probe.FirstByte, 503}},
		{"an interim answer comes before the real one", "HTTP/1.1 100 Continue\r\n\r\n" +
			complete(200, body(ours, pod)),
			closed, long, want{probe.OK, probe.NoPhase, 200}},
		{"nothing but interim answers", "", endless("HTTP/1.1 100 Continue\r\n\r\n"), long,
			want{probe.BadAnswer, probe.FirstByte, 0}},
		{"a chunked answer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body(ours, pod)), body(ours, pod)), closed, long,
			want{probe.OK, probe.NoPhase, 200}},
		{"an answer that ends with the connection", "HTTP/1.0 200 OK\r\n\r\n" + body(ours, pod), closed, long,
			want{probe.OK, probe.NoPhase, 200}},
		{"silence", "", stalled, short, want{probe.Timeout, probe.FirstByte, 0}},
		{"half of the headers, then silence", "HTTP/1.1 200 OK\r\nContent-", stalled, short,
			want{probe.Timeout, probe.FirstByte, 0}},
		{"as large an answer as may be asked for", complete(200, large()), closed, long,
			want{probe.OK, probe.NoPhase, 200}},
		{"a large answer without its last byte, then silence", cut(complete(200, large())), stalled, short,
			want{probe.Timeout, probe.Body, 200}},
		{"a large answer that is closed before its last byte", cut(complete(200, large())), closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"half of the body, then silence", partial, stalled, short, want{probe.Timeout, probe.Body, 200}},
		{"closed without an answer", "", closed, long, want{probe.BadAnswer, probe.FirstByte, 0}},
		{"closed in the middle of the body", partial, closed, long, want{probe.BadAnswer, probe.Body, 200}},
		{"reset without an answer", "", reset, long, want{probe.Reset, probe.FirstByte, 0}},
		{"reset in the middle of the body", partial, reset, long, want{probe.Reset, probe.Body, 200}},
		{"garbage", "SSH-2.0-OpenSSH_9.2\r\n", closed, long, want{probe.BadAnswer, probe.FirstByte, 0}},
		{"a status that is none", "HTTP/1.1 000 X\r\n\r\n", closed, long, want{probe.BadAnswer, probe.FirstByte, 0}},
		{"headers without end", "HTTP/1.1 200 OK\r\n",
			endless("X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), long, want{probe.BadAnswer,
				probe.FirstByte, 0}},
		{"a body without end", "HTTP/1.1 200 OK\r\n\r\n", endless(strings.Repeat("a", 1000)), long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"chunks without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endless("1\r\na\r\n"), long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"headers that come a byte at a time", "HTTP/1.1 200 OK\r\n", drip("X-A: a\r\n"), short,
			want{probe.Timeout, probe.FirstByte, 0}},
		{"a body that comes a byte at a time", "HTTP/1.1 200 OK\r\n\r\n", drip("a"), short,
			want{probe.Timeout, probe.Body, 200}},
		{"one redirect after the other", "",
			endless("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), long,
			want{probe.BadStatus, probe.FirstByte, 302}},
		{"garbage without end", "", endless(strings.Repeat("\xff\x00", 500)), long,
			want{probe.BadAnswer, probe.FirstByte, 0}},
		{"a body that would have to be unpacked",
			"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00", closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"another web server", complete(200, "<html>It works!</html>"), closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"JSON of something else", complete(200, `{"status":"ok"}`), closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"an agent of another installation", complete(200, body("other/agent", pod)), closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
		{"another agent", complete(200, body(ours, "kdoctor-agent-c")), closed, long,
			want{probe.WrongPeer, probe.Body, 200}},
		{"a pod with an impossible name", complete(200, body(ours, strings.Repeat("a", 300))), closed, long,
			want{probe.BadAnswer, probe.Body, 200}},
	} {
		t.Run(s.name, func(t *testing.T) {
			address, start := serve(t, s), time.Now()
			check(t, newProber(config(s.timeout)).Probe(t.Context(), at(address)), s.want)
			if took := time.Since(start); took > long/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// serve runs the script for every connection until the test ends.
func serve(t *testing.T, s script) string {
	t.Helper()
	listener := listen(t)
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			readRequest(conn)
			_, _ = io.WriteString(conn, s.text)
			s.end(conn)
		}
	}()
	return listener.Addr().String()
}

// readRequest reads up to the blank line, so that a close is no reset. It returns nothing when no request came.
func readRequest(conn net.Conn) string {
	var read strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(read.String(), "\r\n\r\n") {
		n, err := conn.Read(b)
		read.Write(b[:n])
		if err != nil {
			return ""
		}
	}
	return read.String()
}
