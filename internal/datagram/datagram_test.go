package datagram_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/datagram"
)

func TestAnAnswerHasTheSizeOfItsRequestAndNamesThePod(t *testing.T) {
	for _, c := range []struct {
		name, pod   string
		size, bytes int
	}{
		{"smaller than the least", "a", 0, datagram.MinBytes},
		{"a full packet", "kdoctor-agent-x7f2p", 1400, 1400},
		{"larger than the most", "a", 1 << 20, datagram.MaxBytes},
		{"the longest name of a pod", strings.Repeat("p", 253), 200, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := datagram.Request(42, c.size)
			if err := datagram.Answer(b, c.pod); err != nil {
				t.Fatal(err)
			}
			number, from, err := datagram.ParseAnswer(b)
			if err != nil || number != 42 || len(b) != c.bytes {
				t.Fatalf("number %d in %d bytes, error %v; want 42 in %d", number, len(b), err, c.bytes)
			}
			if !from.Is(c.pod) || from.Is(c.pod+"x") || !strings.HasPrefix(c.pod, from.Name) {
				t.Errorf("the answer is from %q, want %q alone", from.Name, c.pod)
			}
		})
	}
}

func TestWhatIsNoRequestIsNotAnswered(t *testing.T) {
	request := datagram.Request(1, 0)
	answered := bytes.Clone(request)
	if err := datagram.Answer(answered, "a"); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "a short one": request[:datagram.MinBytes-1], "an answer": answered,
		"a stranger's": bytes.Repeat([]byte{'x'}, 500),
	} {
		if err := datagram.Answer(bytes.Clone(b), "a"); err == nil {
			t.Errorf("%s is answered", name)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	b := datagram.Request(7, 0)
	f.Add(b)
	if err := datagram.Answer(b, "kdoctor-agent-1"); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, from, err := datagram.ParseAnswer(b)
		if err == nil && strings.ContainsAny(from.Name, "\n\r\x1b ") {
			t.Errorf("accepted the name %q", from.Name)
		}
	})
}

// serve answers on a port of its own until the test is over, and returns the port.
func serve(t *testing.T, pod string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	probe, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).Port
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	sockets, err := datagram.Listen(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- datagram.Serve(ctx, sockets, pod) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return port
}

func TestRequestsAreAnsweredFromTheAddressThatWasAsked(t *testing.T) {
	port := uint16(serve(t, "kdoctor-agent-1"))
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		t.Run(address, func(t *testing.T) {
			conn, err := datagram.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(address), port), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			// A stranger's datagram goes unanswered, so the next answer is the request's.
			for _, b := range [][]byte{[]byte("hello"), datagram.Request(9, 1000)} {
				if _, err := conn.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			buffer := make([]byte, 2000)
			n, err := conn.Read(buffer) // a connected socket takes answers of the asked address alone
			if err != nil {
				t.Fatal(err)
			}
			number, from, err := datagram.ParseAnswer(buffer[:n])
			if err != nil || number != 9 || n != 1000 || !from.Is("kdoctor-agent-1") {
				t.Errorf("answer %d of %q with %d bytes, error %v", number, from.Name, n, err)
			}
		})
	}
}
