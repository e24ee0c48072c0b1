//go:build linux

package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// scripted is a server that answers every request with the same bytes and makes no garbage. It serves one connection
// at a time.
func scripted(t testing.TB, answer string) (address string) {
	t.Helper()
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 128); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("the address is %v", name)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		request, text := make([]byte, 4096), []byte(answer)
		for {
			fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
			if errno != 0 {
				return
			}
			for {
				if n, err := unix.Read(int(fd), request); err != nil || n == 0 {
					break
				}
				if _, err := unix.Write(int(fd), text); err != nil {
					break
				}
			}
			_ = unix.Close(int(fd))
		}
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(listener, unix.SHUT_RDWR)
		<-done
		_ = unix.Close(listener)
	})
	return fmt.Sprintf("127.0.0.1:%d", in4.Port)
}

func agentAnswer(t testing.TB) string {
	t.Helper()
	body := answerOf(t, usual())
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body),
		body)
}

// eachMode runs the test with a shard that makes attempts one after the other, in each of the ways in which there are.
func eachMode(t testing.TB, test func(name string, s *shard, l *targetStream)) {
	t.Helper()
	for _, c := range []struct {
		name, scheme string
		connection   mesh.Connection
		plain        bool
	}{
		{"kept", "http", mesh.KeepAlive, false}, {"kept and plain", "http", mesh.KeepAlive, true},
		{"new", "http", mesh.NewConnection, false}, {"new and plain", "http", mesh.NewConnection, true},
		{"connection alone", "tcp", mesh.NewConnection, false},
	} {
		to := target.Target{ID: "t", Family: "IPv4", Address: c.scheme + "://" + scripted(t, agentAnswer(t))}
		e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: []target.Target{to},
			Plain: c.plain,
			Load:  mesh.Load{PerSecond: 1, Timeout: 20 * time.Second, Connection: c.connection}})
		p, err := epoll.Open(epoll.Config{Precise: true})
		if err != nil {
			t.Fatal(err)
		}
		stamping := stampAll()
		s := newShard(e, &e.parts[0], p, time.Now())
		s.caller = t.Context()
		test(c.name, s, e.paths[0].counted)
		s.closeAllIdle()
		p.Close()
		_ = unix.Close(stamping)
	}
}

// once makes an attempt and waits for it.
func once(t testing.TB, s *shard, l *targetStream) {
	now := s.now()
	s.begin(l, now, now)
	for s.busy > 0 {
		if !s.step() {
			t.Fatal("the shard ends before its attempt")
		}
	}
}

func TestAttemptsMakeNoGarbage(t *testing.T) {
	eachMode(t, func(name string, s *shard, l *targetStream) {
		const times = 200
		if n := testing.AllocsPerRun(times, func() { once(t, s, l) }); n != 0 {
			t.Errorf("%s: an attempt costs %v allocations", name, n)
		}
		p := l.Report()
		if p.OK != times+1 || p.Sent != p.OK {
			t.Errorf("%s: %d of %d succeeded, failures %v", name, p.OK, p.Sent, p.Failures)
		}
		if want := uint64(times); l.probe.Keep && p.Reused != want {
			t.Errorf("%s: %d of %d reused a connection", name, p.Reused, p.Sent)
		}
		// The kernel switches its stamps on some time after the first socket wants them.
		for deadline := time.Now().Add(10 * time.Second); !s.engine.config.Plain && p.Kernel == 0 &&
			time.Now().Before(deadline); p = l.Report() {
			once(t, s, l)
		}
		if !s.engine.config.Plain && p.Kernel == 0 {
			t.Errorf("%s: the kernel's clock was never used", name)
		}
		if s.engine.config.Plain && (p.Kernel != 0 || p.Phases[probe.FirstByte].Count != 0) {
			t.Errorf("%s: stamps were taken", name)
		}
	})
}

func BenchmarkAttempt(b *testing.B) {
	eachMode(b, func(name string, s *shard, l *targetStream) {
		b.Run(name, func(b *testing.B) {
			once(b, s, l)
			b.ReportAllocs()
			for b.Loop() {
				once(b, s, l)
			}
			if p := l.Report(); p.OK != p.Sent {
				b.Errorf("failures %v", p.Failures)
			}
		})
	})
}
