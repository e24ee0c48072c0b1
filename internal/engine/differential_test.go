//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/target"
)

const ours = `{"kdoctor":{"installation":"k/a","pod":"b"}}`

// seeds are answers at the edges of what is accepted. %s is a body that an agent might send.
func seeds() []string {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	whole := fmt.Sprintf("%x\r\n%s\r\n", len(ours), ours)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(ours))
	all := []string{
		"",
		"\r\n",
		"\n",
		"HTTP/1.1",
		"HTTP/1.1 200",
		"HTTP/1.1 200\r\n",
		"HTTP/1.1 200\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\n\n" + ours,
		"HTTP/1.1 200 OK\r\n" + length + "\r\n" + ours + "more", "HTTP/1.1 200 OK\r\n" + length + "\r\n" + ours[:10],
		"HTTP/1.1 200 OK\r\n" + length + length + "\r\n" + ours,
		"HTTP/1.1 200 OK\r\n" + length + "Content-Length: 1\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\ncontent-length :5\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n " + strconv.Itoa(len(ours)) + "\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n d\r\n" + length + "\r\n" + ours,
		"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: \xff\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n \r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/0.0 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/2.0 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + length + "\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTrailer: A, Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n" + whole + "0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTrailer: content-length\r\n" + length + "\r\n" + ours,
		chunked + whole + "0\r\n\r\n",
		chunked + whole + "0\r\n",
		chunked + whole + "0\r\nA: b\r\n\r\n",
		chunked + whole + "0\r\nA\r\n\r\n",
		chunked + whole + "0\r\n\n\r\n\r\n",
		chunked + whole + "0\r\nA: b\n\nx\r\n\r\n",
		chunked + whole,
		chunked + whole[:8],
		chunked + "5\n12345\r\n0\r\n\r\n",
		chunked + "5 \t;x=y\r\n{    \r\n0\r\n\r\n",
		chunked + "5;\rx\r\n12345\r\n0\r\n\r\n",
		chunked + "g\r\n",
		chunked + "\r\n",
		chunked + "5\r\n123456\r\n0\r\n\r\n",
		chunked + "fffffffffffffffff\r\n",
		chunked + "ffffffffffffffff\r\n" + ours,
		chunked + "00000000000000000\r\n\r\n",
		chunked + strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\n1\r\n", 30) + "0\r\n\r\n",
		chunked + "1;" + strings.Repeat("x", 4091) + "\r\n1\r\n0\r\n\r\n",
		chunked + "1;" + strings.Repeat("x", 4092) + "\r\n1\r\n0\r\n\r\n",
		chunked + "1;" + strings.Repeat("x", 4093) + "\r\n1\r\n0\r\n\r\n",
		chunked + whole + "0\r\nA: " + strings.Repeat("x", 4089) + "\r\n\r\n",
		chunked + whole + "0\r\nA: " + strings.Repeat("x", 4090) + "\r\n\r\n",
		"HTTP/1.1 204 No\r\n\r\n",
		"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n12345",
		"HTTP/1.1 503 No\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 65536-len(ours)) + ours,
		"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 65537),
		"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + strings.Repeat("a", 65537),
		chunked + "10001\r\n" + strings.Repeat("a", 65537) + "\r\n0\r\n\r\n",
		chunked + "10000\r\n" + strings.Repeat("a", 65536) + "\r\nx",
		"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n" + length + "\r\n" + ours,
		"HTTP/1.1 101 C\r\n\r\n" + ours,
		"HTTP/1.1 099 C\r\n\r\n",
		"HTTP/1.1 +99 C\r\n\r\n",
		"HTTP/1.1 -00 C\r\n\r\n",
		"HTTP/1.1 -01 C\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 C\r\nLink: x\r\n\r\n", 4) + "HTTP/1.1 200 OK\r\n" + length + "\r\n" + ours,
		strings.Repeat("HTTP/1.1 100 C\r\n\r\n", 5) + "HTTP/1.1 200 OK\r\n\r\n" + ours,
		"HTTP/1.1 100 C\r\nContent-Length: x\r\n\r\nHTTP/1.1 200 OK\r\n" + length + "\r\n" + ours,
		"HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n" + length + "\r\n" + ours,
		"HTTP/1.1 600 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1,1 200 OK\r\n\r\n",
		"http/1.1 200 OK\r\n\r\n",
		"HTTP/1.x 200 OK\r\n\r\n",
		"HTTP/11 200 OK\r\n\r\n",
		"HTTP/1.1 200\tOK\r\n\r\n",
		"HTTP/1.1 200 \r\r\n\r\n" + ours,
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 5000) + "\r\n" + length + "\r\n" + ours,
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 16384-25) + "\r\n\r\n" + ours,
	}
	for _, n := range []int{16384, 16385, 16383} {
		all = append(all, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x",
			n-len("HTTP/1.1 200 OK\r\nA: \r\n\r\n"))+"\r\n\r\n"+ours)
	}
	for _, body := range []string{"{}", "null", "[]", `{"kdoctor":{"installation":"k/b","pod":"b"}}`,
		`{"kdoctor":{"installation":"k/a","pod":"c"}}`, `{"kdoctor":{"installation":"k/a","pod":"b b"}}`} {
		all = append(all, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	return all
}

// fixedAnswer is a server that answers every connection with the bytes of the moment, then ends it.
type fixedAnswer struct {
	listener net.Listener
	mu       sync.Mutex
	answer   []byte
	cut      int
}

func newFixedAnswer(t testing.TB) *fixedAnswer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &fixedAnswer{listener: listener}
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.serve(conn)
		}
	}()
	return e
}

func (e *fixedAnswer) serve(conn net.Conn) {
	defer conn.Close()
	e.mu.Lock()
	answer, cut := e.answer, e.cut
	e.mu.Unlock()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	request := make([]byte, 0, 4096)
	for !bytes.Contains(request, []byte("\r\n\r\n")) {
		n, err := conn.Read(request[len(request):cap(request)])
		if err != nil {
			return
		}
		request = request[:len(request)+n]
	}
	// In two pieces, so that every place can be one where the answer is torn.
	_, _ = conn.Write(answer[:cut])
	_, _ = conn.Write(answer[cut:])
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
}

// same holds the engine's sample of the answer against that of httpprobe.
func same(t *testing.T, e *fixedAnswer, engine probe.Prober, config httpprobe.Config, answer []byte, cut int) {
	t.Helper()
	e.mu.Lock()
	e.answer, e.cut = answer, cut%(len(answer)+1)
	e.mu.Unlock()
	to := target.Target{ID: "t", Family: "IPv4", Address: "http://" + e.listener.Addr().String() + "/kdoctoragent",
		Pod: "b"}
	type outcome struct {
		Outcome probe.Outcome
		Phase   probe.Phase
		Status  int
		Bytes   int64
		Peer    string
		Message string
	}
	of := func(p probe.Prober) outcome {
		s := p.Probe(t.Context(), to)
		return outcome{s.Outcome, s.Phase, s.Status, s.Bytes, s.Peer, s.Message}
	}
	want, got := of(httpprobe.New(config)), of(engine)
	if got.Outcome == probe.BadAnswer && want.Outcome == probe.BadAnswer {
		// Whether the end of the connection or the bytes before it are blamed first is no difference.
		got.Message = want.Message
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of the answer %.200q, torn at %d, (-httpprobe +engine):\n%s", answer, cut, diff)
	}
}

func differentialConfig() httpprobe.Config {
	return httpprobe.Config{Round: "u/1/1", Source: "a", Installation: "k/a", Timeout: 20 * time.Second}
}

func FuzzDifferential(f *testing.F) {
	for i, seed := range seeds() {
		f.Add([]byte(seed), uint16(i*7))
		f.Add([]byte(seed), uint16(len(seed)))
	}
	server, config := newFixedAnswer(f), differentialConfig()
	engine := newSingle(f, config)
	f.Fuzz(func(t *testing.T, answer []byte, cut uint16) {
		same(t, server, engine, config, answer, int(cut))
	})
}

func TestStatusAskedForIsJudgedAlike(t *testing.T) {
	server, config := newFixedAnswer(t), differentialConfig()
	config.Status = 204
	engine := newSingle(t, config)
	for _, answer := range []string{"HTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 204 X\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n"} {
		same(t, server, engine, config, []byte(answer), 0)
	}
}
