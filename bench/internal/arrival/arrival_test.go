package arrival

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestDistanceFromTheGrid(t *testing.T) {
	even := func(n int) (at []int64) {
		for i := range n {
			at = append(at, int64(i)*int64(time.Millisecond))
		}
		return at
	}
	late := even(1301)
	for i := range late {
		if i%10 == 0 {
			late[i] += int64(200 * time.Microsecond)
		}
	}
	bursts := even(1300)
	for i := range bursts {
		bursts[i] -= int64(i%10) * int64(time.Millisecond)
	}
	for _, c := range []struct {
		name             string
		arrivals         []int64
		p50, p99, within float64
	}{
		{"an even load has no error", even(1300), 0, 0, 1e-9},
		{"one of ten is late", late, 0, 200e-6, 1e-9},
		{"bursts of ten are half a burst from their middle at most", bursts, 2.5e-3, 5e-3, 0.6e-3},
		{"what happens while connections are opened is left out", append([]int64{-int64(time.Second)}, even(1300)...),
			0, 0, 1e-9},
		{"one arrival makes no grid", []int64{5}, 0, 0, 0},
		{"nothing arrived", nil, 0, 0, 0},
	} {
		got := Grid(c.arrivals, 1000)
		if math.Abs(got.P50-c.p50) > c.within || math.Abs(got.P99-c.p99) > c.within {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestTruthOfAStall(t *testing.T) {
	for _, c := range []struct{ q, want float64 }{{0.5, 0}, {0.875, 0}, {0.9, 0.2}, {0.95, 0.6}, {0.99, 0.92}} {
		if got := Stalled(c.q, time.Second, 8*time.Second); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
}

// serve runs a server until the test ends.
func serve(t *testing.T, c Config) (*Server, string) {
	t.Helper()
	s := NewServer(c)
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

func TestServerAnswersOverOneConnectionAndNotesEachArrival(t *testing.T) {
	s, address := serve(t, Config{Body: "body"})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	before := time.Now().UnixNano()
	for _, wire := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"} {
		if _, err := io.WriteString(conn, wire); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusOK || string(body) != "body" {
			t.Errorf("status %d, body %q", answer.StatusCode, body)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection was not closed when asked: %v", err)
	}
	got := s.Arrivals()
	if len(got) != 2 || got[0] < before || got[1] < got[0] || got[1] > time.Now().UnixNano() {
		t.Errorf("arrivals %v after %d", got, before)
	}
}

func TestServerStallsOnce(t *testing.T) {
	const stall = 300 * time.Millisecond
	_, address := serve(t, Config{Body: "body", Stall: stall, StallAfter: time.Millisecond})
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	longest, began := time.Duration(0), time.Now()
	for time.Since(began) < 2*stall {
		from := time.Now()
		answer, err := client.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		longest = max(longest, time.Since(from))
	}
	if longest < stall*8/10 {
		t.Errorf("the longest answer took %v", longest)
	}
}
