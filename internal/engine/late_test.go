//go:build linux

package engine

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/slots"
	"kdoctor.io/kdoctor/internal/target"
)

// held is a shard with one attempt at a server, whose end of the connection is in the test's hand.
type held struct {
	*shard
	stream *targetStream
	// conns are the server's ends; each is there when its first bytes are.
	conns chan net.Conn
	got   *probe.Sample
}

// stamping waits until the kernel stamps what it receives: it begins some time after it was asked to.
func stamping(t *testing.T) {
	t.Helper()
	fd := stampAll()
	pair, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil || fd < 0 {
		t.Fatal(fd, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd); _ = pair.Close() })
	out, err := new(net.Dialer).DialContext(t.Context(), "tcp4", pair.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := pair.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	raw, err := in.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = in.SetReadDeadline(time.Now().Add(10 * time.Second))
	var k calls
	for seen := false; !seen; {
		if _, err := out.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := raw.Read(func(fd uintptr) bool {
			_ = k.enable(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
			_, stamp, errno := k.receive(int(fd), make([]byte, 1))
			seen = stamp != 0
			return errno != unix.EAGAIN
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func hold(t *testing.T, scheme string, timeout time.Duration, connection mesh.Connection) held {
	t.Helper()
	stamping(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 16)
	t.Cleanup(func() {
		_ = listener.Close()
		for conn := range conns {
			_ = conn.Close()
		}
	})
	go func() {
		defer close(conns)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	to := target.Target{ID: "t", Family: "IPv4", Address: scheme + "://" + listener.Addr().String()}
	e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: []target.Target{to},
		Load: mesh.Load{PerSecond: 1, Timeout: timeout, Connection: connection}})
	p, err := epoll.Open(epoll.Config{Precise: true})
	if err != nil {
		t.Fatal(err)
	}
	s := newShard(e, &e.parts[0], p, time.Now())
	s.caller = t.Context()
	got := new(probe.Sample)
	s.record = func(_ *targetStream, sample *probe.Sample) { *got = *sample }
	t.Cleanup(func() { s.closeAllIdle(); p.Close() })
	return held{shard: s, stream: e.paths[0].counted, conns: conns, got: got}
}

// start begins an attempt and goes on until its request is written.
func (h held) start(t *testing.T) {
	t.Helper()
	now := h.now()
	h.begin(h.stream, now, now)
	for {
		i := h.underWay.First
		if i == slots.None {
			t.Fatalf("the attempt is over: %v, %s", h.got.Outcome, h.got.Message)
		}
		if a := h.attempts.At(i); a.phase == probe.FirstByte && a.sent == len(h.stream.request) {
			return
		}
		if err := h.wait(h.now() + time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// request reads the request at the server's end.
func request(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 4096)); err != nil || n == 0 {
		t.Fatal(n, err)
	}
}

func TestAnswerInTimeThatIsReadLateIsASuccess(t *testing.T) {
	const timeout = time.Second
	h := hold(t, "http", timeout, mesh.NewConnection)
	h.start(t)
	conn := <-h.conns
	request(t, conn)
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	written := h.now()
	sleep(2*timeout - h.now())
	h.expire()
	if h.got.Outcome != probe.OK || !h.got.Kernel || h.got.Latency > written || h.got.Own < timeout/2 ||
		h.got.Latency+h.got.Own < 2*timeout {
		t.Errorf("%v (%s), latency %v, own %v, kernel %v; the answer was written at %v", h.got.Outcome, h.got.Message,
			h.got.Latency, h.got.Own, h.got.Kernel, written)
	}
	if h.got.Phases[probe.Connect]+h.got.Phases[probe.FirstByte]+h.got.Phases[probe.Body] != h.got.Latency {
		t.Errorf("phases %v make no latency of %v", h.got.Phases, h.got.Latency)
	}
}

func TestAnswerAfterTheDeadlineIsATimeoutHoweverLateItIsRead(t *testing.T) {
	const timeout = 50 * time.Millisecond
	h := hold(t, "http", timeout, mesh.NewConnection)
	h.start(t)
	conn := <-h.conns
	request(t, conn)
	sleep(2*timeout - h.now())
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	h.expire()
	if h.got.Outcome != probe.Timeout || h.got.Phase != probe.Body || h.got.Latency < 2*timeout || h.got.Own != 0 ||
		h.got.Kernel {
		t.Errorf("%v in phase %v, latency %v, own %v", h.got.Outcome, h.got.Phase, h.got.Latency, h.got.Own)
	}
}

func TestSilenceUntilTheDeadlineIsATimeout(t *testing.T) {
	const timeout = 50 * time.Millisecond
	h := hold(t, "http", timeout, mesh.NewConnection)
	h.start(t)
	sleep(timeout - h.now())
	h.expire()
	if h.got.Outcome != probe.Timeout || h.got.Phase != probe.FirstByte || h.busy != 0 {
		t.Errorf("%v in phase %v", h.got.Outcome, h.got.Phase)
	}
}

func TestHandshakeInTimeThatIsSeenLateIsASuccessOfConnectingAlone(t *testing.T) {
	const timeout = 100 * time.Millisecond
	h := hold(t, "tcp", timeout, mesh.NewConnection)
	h.begin(h.stream, 0, h.now())
	<-h.conns
	sleep(2*timeout - h.now())
	h.expire()
	if h.got.Outcome != probe.OK || h.got.Latency > timeout || h.got.Own < timeout ||
		h.got.Phases[probe.Connect] != h.got.Latency {
		t.Errorf("%v (%s), latency %v, own %v", h.got.Outcome, h.got.Message, h.got.Latency, h.got.Own)
	}
}

func TestRequestThatTheThreadWasTooLateToSendIsNotTheNetworksFault(t *testing.T) {
	const timeout = 100 * time.Millisecond
	h := hold(t, "http", timeout, mesh.NewConnection)
	now := h.now()
	h.begin(h.stream, now, now)
	<-h.conns
	sleep(2*timeout - h.now())
	h.expire()
	if h.got.Outcome != probe.NotSent || h.got.Phase != probe.FirstByte {
		t.Errorf("%v in phase %v: %s", h.got.Outcome, h.got.Phase, h.got.Message)
	}
}

// A SYN that is lost is sent again after a second, which may be the timeout too: then there is no time for a request,
// however fast the thread is.
func TestAConnectionThatTakesAllOfTheTimeIsATimeout(t *testing.T) {
	const timeout = 100 * time.Millisecond
	for name, c := range map[string]struct {
		left time.Duration
		want probe.Outcome
	}{
		"made 5 ms before the deadline":  {5 * time.Millisecond, probe.Timeout},
		"made 60 ms before the deadline": {60 * time.Millisecond, probe.NotSent},
	} {
		t.Run(name, func(t *testing.T) {
			h := hold(t, "http", timeout, mesh.NewConnection)
			begun := h.now() - timeout + c.left
			h.begin(h.stream, begun, begun)
			<-h.conns
			sleep(c.left)
			h.expire()
			if h.got.Outcome != c.want || c.want == probe.Timeout && h.got.Phase != probe.Connect {
				t.Errorf("%v in phase %v: %s", h.got.Outcome, h.got.Phase, h.got.Message)
			}
		})
	}
}

func TestThreadThatWakesLateAfterConnectingSaysSo(t *testing.T) {
	h := hold(t, "http", 10*time.Second, mesh.NewConnection)
	now := h.now()
	h.begin(h.stream, now, now)
	conn := <-h.conns
	const late = 100 * time.Millisecond
	sleep(late)
	for h.attempts.At(h.underWay.First).phase == probe.Connect {
		if err := h.wait(h.now() + time.Second); err != nil {
			t.Fatal(err)
		}
	}
	request(t, conn)
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	for h.busy > 0 {
		h.step()
	}
	if h.got.Outcome != probe.OK || h.got.Own < late-10*time.Millisecond || h.got.Phases[probe.Connect] > late/2 {
		t.Errorf("%v (%s), own %v, phases %v", h.got.Outcome, h.got.Message, h.got.Own, h.got.Phases)
	}
}

func TestBytesThatArriveWhileAConnectionIsIdleAreNoAnswer(t *testing.T) {
	h := hold(t, "http", 10*time.Second, mesh.KeepAlive)
	h.start(t)
	conn := <-h.conns
	request(t, conn)
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	for h.busy > 0 {
		h.step()
	}
	if h.got.Outcome != probe.OK || h.stream.idle.First == slots.None {
		t.Fatalf("%v, %s", h.got.Outcome, h.got.Message)
	}
	// A whole good answer, which the thread has not heard of when it sends the next request.
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	sleep(time.Millisecond)
	h.start(t)
	for h.busy > 0 {
		h.step()
	}
	if h.got.Outcome != probe.BadAnswer || h.got.Phase != probe.FirstByte || !h.got.Reused ||
		h.stream.idle.First != slots.None {
		t.Errorf("%v in phase %v, reused %v, idle %v", h.got.Outcome, h.got.Phase, h.got.Reused, h.stream.idle)
	}
}

func TestBytesThatWereHeardOfEndAnIdleConnection(t *testing.T) {
	h := hold(t, "http", 10*time.Second, mesh.KeepAlive)
	h.start(t)
	conn := <-h.conns
	request(t, conn)
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	for h.busy > 0 {
		h.step()
	}
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := h.wait(h.now() + time.Second); err != nil || h.stream.idle.First != slots.None {
		t.Errorf("%v, idle %v", err, h.stream.idle)
	}
}
