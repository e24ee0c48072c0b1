package epoll

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns two connected sockets that do not block.
func pair(t *testing.T) (near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseSocket(fds[0]); CloseSocket(fds[1]) })
	return fds[0], fds[1]
}

// pollers calls the test with every way to wait.
func pollers(t *testing.T, test func(t *testing.T, p *Poller)) {
	t.Helper()
	for _, c := range []struct {
		name   string
		config Config
		timer  bool
	}{
		{"milliseconds", Config{}, false},
		{"milliseconds, holding the processor", Config{Hold: true}, false},
		{"nanoseconds", Config{Precise: true}, false},
		{"nanoseconds, holding the processor", Config{Precise: true, Hold: true}, false},
		{"nanoseconds by a timer", Config{Precise: true, Hold: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Open(c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if c.timer {
				if err := p.openTimer(); err != nil {
					t.Fatal(err)
				}
			}
			test(t, p)
		})
	}
}

// own returns the events that are not the timer's.
func own(t *testing.T, p *Poller, d time.Duration) []unix.EpollEvent {
	t.Helper()
	events, err := p.Wait(d)
	if err != nil {
		t.Fatal(err)
	}
	var found []unix.EpollEvent
	for _, e := range events {
		if e.Fd != TimerKey {
			found = append(found, e)
		}
	}
	return found
}

func TestTimerServesWhereTheKernelHasNoPreciseWait(t *testing.T) {
	p, err := Open(Config{Precise: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.openTimer(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range 10 {
		if events, err := p.Wait(300 * time.Microsecond); err != nil || len(events) != 1 || events[0].Fd != TimerKey {
			t.Fatalf("events %v, %v", events, err)
		}
	}
	if took := time.Since(start); took < 3*time.Millisecond {
		t.Errorf("ten waits of 300 us took %v", took)
	}
	if events, err := p.Wait(0); err != nil || len(events) != 1 || events[0].Fd != TimerKey {
		t.Errorf("a wait of nothing: %v, %v", events, err)
	}
	p.Interrupt()
	if events, err := p.Wait(time.Minute); err != nil || len(events) == 0 || events[0].Fd != InterruptKey {
		t.Errorf("an interrupted wait: %v, %v", events, err)
	}
}

func TestWaitLastsItsTimeAndNoLess(t *testing.T) {
	pollers(t, func(t *testing.T, p *Poller) {
		for _, d := range []time.Duration{0, 300 * time.Microsecond, 3 * time.Millisecond} {
			began := time.Now()
			if found := own(t, p, d); len(found) > 0 {
				t.Errorf("a wait of %v without sockets found %+v", d, found)
			}
			if took := time.Since(began); took < d {
				t.Errorf("a wait of %v took %v", d, took)
			}
		}
	})
}

func TestWaitReportsWhatArrivesUnderItsKeyOnce(t *testing.T) {
	pollers(t, func(t *testing.T, p *Poller) {
		near, far := pair(t)
		if err := p.Add(near, unix.EPOLLIN|Edge, 7, 8); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if n, errno := Send(far, []byte("x"), 0); n != 1 || errno != 0 {
				t.Fatalf("sent %d bytes: %v", n, errno)
			}
			if found := own(t, p, -1); len(found) != 1 || found[0].Fd != 7 || found[0].Pad != 8 ||
				found[0].Events != unix.EPOLLIN {
				t.Fatalf("events are %+v", found)
			}
			if found := own(t, p, time.Millisecond); len(found) > 0 {
				t.Fatalf("reported again: %+v", found)
			}
		}
		if err := p.Modify(near, unix.EPOLLOUT|Edge, 9, 10); err != nil {
			t.Fatal(err)
		}
		if found := own(t, p, -1); len(found) != 1 || found[0].Fd != 9 || found[0].Pad != 10 ||
			found[0].Events != unix.EPOLLOUT {
			t.Errorf("after the change events are %+v", found)
		}
		p.Remove(near)
		if _, errno := Send(far, []byte("x"), 0); errno != 0 {
			t.Fatal(errno)
		}
		if found := own(t, p, time.Millisecond); len(found) > 0 {
			t.Errorf("after the removal: %+v", found)
		}
	})
}

func TestInterruptEndsWaitsUntilResume(t *testing.T) {
	pollers(t, func(t *testing.T, p *Poller) {
		near, far := pair(t)
		if err := p.Add(near, unix.EPOLLIN, 1, 0); err != nil {
			t.Fatal(err)
		}
		// Events that come close together make the poller hold its processor.
		if _, errno := Send(far, []byte("x"), 0); errno != 0 {
			t.Fatal(errno)
		}
		own(t, p, time.Second)
		if _, errno := Receive(near, make([]byte, 8)); errno != 0 {
			t.Fatal(errno)
		}
		timer := time.AfterFunc(2*time.Millisecond, p.Interrupt)
		defer timer.Stop()
		found := own(t, p, -1)
		for began := time.Now(); len(found) == 0; found = own(t, p, -1) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the wait does not end")
			}
		}
		if len(found) != 1 || found[0].Fd != InterruptKey {
			t.Fatalf("events are %+v", found)
		}
		p.Resume()
		if found := own(t, p, time.Millisecond); len(found) > 0 {
			t.Errorf("after Resume: %+v", found)
		}
	})
}

func TestSocketsReportTheEnd(t *testing.T) {
	near, far := pair(t)
	if _, errno := Receive(near, make([]byte, 1)); errno != unix.EAGAIN {
		t.Errorf("reading nothing is %v", errno)
	}
	if err := unix.Shutdown(far, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, errno := Receive(near, make([]byte, 1)); n != 0 || errno != 0 {
		t.Errorf("reading the end is %d bytes, %v", n, errno)
	}
}

func TestDiscardOnCloseMakesTheCloseAReset(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: listener.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	DiscardOnClose(fd)
	CloseSocket(fd)
	if _, err := conn.Read(make([]byte, 1)); err == nil || err.Error() == "EOF" {
		t.Errorf("the other side reads %v, want a reset", err)
	}
}
