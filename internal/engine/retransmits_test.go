//go:build linux

package engine

import (
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// crowded is a server whose queue of connections is full: the kernel drops what asks for another one until the server
// takes one, so that it has to be sent again. take returns the connections' descriptors, the oldest first.
func crowded(t *testing.T) (port int, take func() int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	loopback := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, &loopback); err != nil {
		t.Fatal(err)
	}
	// So that a connection which never comes ends the test.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 15}); err != nil {
		t.Fatal(err)
	}
	// A queue of 0 holds one.
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	loopback.Port = name.(*unix.SockaddrInet4).Port
	first, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(first) })
	if err := unix.Connect(first, &loopback); err != nil {
		t.Fatal(err)
	}
	return loopback.Port, func() int {
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Error(err)
			return -1
		}
		t.Cleanup(func() { _ = unix.Close(conn) })
		return conn
	}
}

// descriptor reads and writes a socket.
type descriptor int

func (d descriptor) Read(b []byte) (int, error)  { return unix.Read(int(d), b) }
func (d descriptor) Write(b []byte) (int, error) { return unix.Write(int(d), b) }

// Loss that success hides: the request succeeds, and what had to be sent again for it is counted.
func TestSegmentsThatWereSentAgainAreCountedThoughTheRequestSucceeds(t *testing.T) {
	port, take := crowded(t)
	e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Shards: 1,
		Targets: []target.Target{{ID: "t", Family: "IPv4", Protocol: target.HTTP,
			Address: fmt.Sprintf("http://127.0.0.1:%d", port)}},
		Load: mesh.Load{PerSecond: 1, Duration: time.Second, Timeout: 20 * time.Second,
			Connection: mesh.NewConnection}})
	over := make(chan struct{})
	go func() { defer close(over); e.Run(t.Context()) }()
	// Its first segment meets a full queue: only after that a connection is taken, and the kernel sends it again a
	// second later.
	for e.inFlight.Load() == 0 {
		sleep(time.Millisecond)
	}
	sleep(50 * time.Millisecond)
	take()
	conn := descriptor(take())
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, agentAnswer(t)); err != nil {
		t.Fatal(err)
	}
	<-over
	p := e.Paths()[0]
	if p.OK != 1 || p.Retransmits == 0 || p.Retransmitted != 1 {
		t.Errorf("%d succeeded, %d segments were sent again in %d requests (%v); want a success for which some were",
			p.OK, p.Retransmits, p.Retransmitted, p.Failures)
	}
}
