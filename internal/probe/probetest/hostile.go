package probetest

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// HostileServers is how many servers answer at the same time in Hostile.
const HostileServers = 200

// heapGrowth is how much the heap may grow meanwhile, in bytes. An answer may be 64 KiB long, so that 200 of them are
// 13 MiB. The rest is for buffers that double as they grow, and for what the collector has not freed yet.
const heapGrowth = 48 << 20

// hostility is what a server does with a connection once it has read a request.
type hostility struct {
	text string
	end  func(net.Conn)
}

// drip writes the text a byte at a time as long as the client reads, so that no single wait is long.
func drip(text string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			if _, err := io.WriteString(c, text[i%len(text):][:1]); err != nil {
				return
			}
			<-pace.C
		}
	}
}

func hostilities() []hostility {
	return []hostility{
		{"HTTP/1.1 200 OK\r\n\r\n", endless(strings.Repeat("a", 4096))},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n", endless(strings.Repeat("{", 4096))},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
			endless(strings.Repeat("[", 4096))},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			endless("1;" + strings.Repeat("x", 1000) + "\r\na\r\n")},
		{"HTTP/1.1 200 OK\r\n", endless("X-A: " + strings.Repeat("a", 1000) + "\r\n")},
		{"HTTP/1.1 200 OK\r\nX-A: ", endless(strings.Repeat("a", 4096))},
		{"HTTP/1.1 200 OK\r\n", drip("X-A: a\r\n")},
		{"HTTP/1.1 200 OK\r\n\r\n", drip("a")},
		{"", endless("HTTP/1.1 100 Continue\r\n\r\n")},
		{"", endless("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")},
		{"", endless("\x16\x03\x01\x00\xff\x00" + strings.Repeat("\xff", 4000))},
		{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n\x1f\x8b\x08", stalled},
		{"", stalled},
	}
}

// Hostile sends a load to HostileServers servers that each misbehave in one of many ways. It checks that no request
// succeeds, that every request is counted, and that the memory for answers is bounded. run makes one attempt or more at
// each target, with timeouts of a second at most, and returns what was measured.
func Hostile(t *testing.T, run func(targets []target.Target) []report.Path) {
	t.Helper()
	address := hostileServer(t)
	targets := make([]target.Target, HostileServers)
	for i := range targets {
		targets[i] = target.Target{ID: fmt.Sprintf("t%d", i), Kind: target.Endpoint, Family: topology.IPv4,
			Protocol: target.HTTP, Address: fmt.Sprintf("http://%s/%d", address, i), Pod: pod}
	}
	var paths []report.Path
	begun := time.Now()
	peak := heapWhile(func() { paths = run(targets) })
	took := time.Since(begun)
	if peak > heapGrowth {
		t.Errorf("the heap grew by %d KiB, more than the %d that are allowed", peak>>10, heapGrowth>>10)
	}
	t.Logf("the heap grew by %d KiB at most, within %v", peak>>10, took)
	if took > long {
		t.Errorf("it took %v", took)
	}
	if len(paths) != len(targets) {
		t.Fatalf("%d paths, want %d", len(paths), len(targets))
	}
	sent := uint64(0)
	for _, p := range paths {
		failed := uint64(0)
		for _, f := range p.Failures {
			failed += f.Count
			if f.Outcome == probe.NotSent {
				t.Errorf("%s: an attempt was not sent: %v", p.Target.ID, f.Examples)
			}
		}
		if p.OK != 0 || failed != p.Sent || p.Sent+p.Missed != p.Scheduled {
			t.Errorf("%s: %d due, %d sent, %d missed, %d ok, %d failed; want all that were sent failed", p.Target.ID,
				p.Scheduled, p.Sent, p.Missed, p.OK, failed)
		}
		if p.Persistent != nil {
			if p.Persistent.OK != 0 {
				t.Errorf("%s: %d requests of the kept stream are a success", p.Target.ID, p.Persistent.OK)
			}
			sent += p.Persistent.Sent
		}
		sent += p.Sent
	}
	if sent < HostileServers {
		t.Errorf("%d attempts were made, want %d or more", sent, HostileServers)
	}
}

// heapWhile returns how much the heap grows at most while do runs, in bytes.
func heapWhile(do func()) uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, peak := stats.HeapAlloc, stats.HeapAlloc
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { defer close(over); do() })
	often := time.NewTicker(10 * time.Millisecond)
	defer often.Stop()
	for {
		select {
		case <-over:
			running.Wait()
			return peak - before
		case <-often.C:
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapAlloc)
		}
	}
}

// hostileServer treats each connection by the next of all hostilities, until the test ends.
func hostileServer(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	var serving sync.WaitGroup
	all := hostilities()
	serving.Go(func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			h := all[i%len(all)]
			serving.Go(func() {
				// Whatever the client does, the test's server ends.
				_ = conn.SetDeadline(time.Now().Add(long))
				readRequest(conn)
				_, _ = io.WriteString(conn, h.text)
				h.end(conn)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return listener.Addr().String()
}
