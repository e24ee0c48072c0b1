package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strconv"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/arrival"
	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/rig"
)

// serve runs a stamping server until the test ends and returns its port.
func serve(t *testing.T) (s *arrival.Server, port int) {
	t.Helper()
	l, err := arrival.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = arrival.NewServer(arrival.Config{Body: rig.Answer})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().(*net.TCPAddr).Port
}

func TestDriverSaysWhatItSentAndTheServerSawIt(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		// want is how many requests are due; 0 where as many are made as are answered.
		want uint64
	}{
		{"a paced load over kept connections", []string{"-rate=50", "-connection=keepalive"}, 50},
		{"a paced load over new connections", []string{"-rate=50", "-connection=new"}, 50},
		{"a paced load without stamps", []string{"-rate=50", "-connection=keepalive", "-plain"}, 50},
		{"a paced load that wakes at fixed moments", []string{"-rate=50", "-connection=keepalive", "-grid"}, 50},
		{"one request after the other over a kept connection", []string{"-saturate=1", "-connection=keepalive"}, 0},
		{"one request after the other by the standard library", []string{"-mode=nethttp", "-saturate=1"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, port := serve(t)
			var out bytes.Buffer
			if err := run(append(c.args, "-port="+strconv.Itoa(port), "-duration=1s"), &out); err != nil {
				t.Fatal(err)
			}
			var got message.Load
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Scheduled != got.Sent+got.Missed || got.Sent == 0 || got.OK != got.Sent ||
				(c.want > 0 && got.Scheduled != c.want) {
				t.Errorf("got %+v", got)
			}
			if seen := uint64(len(server.Arrivals())); seen != got.Sent {
				t.Errorf("the server saw %d requests, the driver sent %d", seen, got.Sent)
			}
		})
	}
}

func TestPacersMeasureEveryStart(t *testing.T) {
	for _, mode := range []string{"sleep", "nanosleep"} {
		got, err := measure(options{mode: mode, rate: 100, duration: 1e8})
		if err != nil || got.Sent != 10 || got.Lag.P50 <= 0 || got.Lag.Max < got.Lag.P50 {
			t.Errorf("%s: %+v, %v", mode, got, err)
		}
	}
}

func TestUnknownModesAreRefused(t *testing.T) {
	if err := run([]string{"-mode=x"}, &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
}

// TestTargetsThatFailOnceAreCounted makes a load on a server and, at the port behind it, on nobody.
func TestTargetsThatFailOnceAreCounted(t *testing.T) {
	server, port := serve(t)
	load := []string{"-rate=10", "-connection=new", "-timeout=2s", "-port=" + strconv.Itoa(port)}
	for targets, blamed := range map[int]uint64{1: 0, 2: 1} {
		var out bytes.Buffer
		if err := run(append(load, "-targets="+strconv.Itoa(targets)), &out); err != nil {
			t.Fatal(err)
		}
		var got message.Load
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Whole != uint64(targets) || got.Blamed != blamed || got.Pods != 1 {
			t.Errorf("with %d targets: %+v; want %d blamed", targets, got, blamed)
		}
	}
	if len(server.Arrivals()) == 0 {
		t.Error("the server saw nothing")
	}
}
