package tlsprobe_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
	"kdoctor.io/kdoctor/internal/target"
)

// serverVariable tells a copy of the test's process that it is the benchmark's server: its CPU is not the prober's.
const serverVariable = "KDOCTOR_RICH_BENCH_SERVER"

func BenchmarkServerOfAttempts(t *testing.B) {
	if os.Getenv(serverVariable) == "" {
		t.Skip("it only runs for BenchmarkAttempt")
	}
	w := newWorld(t)
	secure := serve(t, agent(), &tls.Config{Certificates: []tls.Certificate{w.good}})
	plain := httptest.NewServer(agent())
	defer plain.Close()
	block, _ := pem.Decode(w.known.text)
	fmt.Printf("server %s %s %x\n", plain.URL, secure.URL, block.Bytes)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// startServer starts the server in a process of its own.
func startServer(b *testing.B) (plain, secure string, authority []byte) {
	b.Helper()
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkServerOfAttempts$",
		"-test.benchtime=1x")
	command.Env = append(os.Environ(), serverVariable+"=1")
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var der []byte
		if n, _ := fmt.Sscanf(lines.Text(), "server %s %s %x", &plain, &secure, &der); n == 3 {
			return plain, secure, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		}
	}
	b.Fatal("the server did not start")
	return "", "", nil
}

// BenchmarkAttempt measures what an attempt costs of this process's CPU: budget.go has the figures.
func BenchmarkAttempt(b *testing.B) {
	plain, secure, text := startServer(b)
	for _, c := range []struct {
		name          string
		protocol      target.Protocol
		keep, tickets bool
	}{
		{"http new", target.HTTP, false, false}, {"http kept", target.HTTP, true, false},
		{"https new", target.HTTPS, false, false}, {"https resumed", target.HTTPS, false, true}, {"https kept",
			target.HTTPS, true, false},
		{"h2 new", target.HTTP2, false, false}, {"h2 kept", target.HTTP2, true, false},
	} {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			config := world{}.config(30 * time.Second)
			config.Authorities = map[string][]byte{"ours": text}
			config.Keep, config.Tickets = c.keep, c.tickets
			prober := tlsprobe.New(config)
			defer prober.Close()
			to := at(c.protocol, secure)
			if c.protocol == target.HTTP {
				to.Address = plain
			}
			before := ownCPU(b)
			for b.Loop() {
				if got := prober.Probe(b.Context(), to); got.Outcome != probe.OK {
					b.Fatalf("%v at %q: %s", got.Outcome, got.Phase, got.Message)
				}
			}
			b.ReportMetric(float64((ownCPU(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// ownCPU is what this process has used of CPU so far, in user and kernel.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
