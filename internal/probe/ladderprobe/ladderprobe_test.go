package ladderprobe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"kdoctor.io/kdoctor/internal/datagram"
	"kdoctor.io/kdoctor/internal/ladder"
)

// silent is an address at which a socket takes datagrams and answers none.
func silent(t *testing.T, answer func([]byte) []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := answer(buffer[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// as answers as the pod does, up to a size.
func as(pod string, most int) func([]byte) []byte {
	return func(b []byte) []byte {
		if len(b) > most || datagram.Answer(b, pod) != nil {
			return nil
		}
		return b
	}
}

// closed is an address at which nobody listens.
func closed(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return netip.MustParseAddrPort(conn.LocalAddr().String())
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(l.Addr().String())
}

func page(t *testing.T, status int, body string) netip.AddrPort {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

// mute takes connections and answers nothing.
func mute(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

const agentPage = `{"kdoctor":{"installation":"a/b","pod":"%s","podUID":"1","node":"n"}}`

func TestWhatBecomesOfAProbe(t *testing.T) {
	const pod, second = "agent-1", 5 * time.Second
	short := 300 * time.Millisecond
	failed := func(f ladder.Failure) ladder.Counts {
		return ladder.Counts{Sent: 1, Failures: map[ladder.Failure]uint64{f: 1}}
	}
	stranger := failed(ladder.WrongPeer)
	stranger.Peers = map[string]uint64{"agent-2": 1}
	for _, c := range []struct {
		name string
		spec ladder.Spec
		want ladder.Counts
	}{
		{"a datagram is answered by the right pod",
			ladder.Spec{Method: ladder.UDP, Address: silent(t, as(pod, 1<<16)), Peer: pod, Timeout: second},
			ladder.Counts{Sent: 1, Answered: 1}},
		{"any pod may answer, and is named",
			ladder.Spec{Method: ladder.UDP, Address: silent(t, as(pod, 1<<16)), Timeout: second},
			ladder.Counts{Sent: 1, Answered: 1, Peers: map[string]uint64{pod: 1}}},
		{"another pod answers the datagram",
			ladder.Spec{Method: ladder.UDP, Address: silent(t, as("agent-2", 1<<16)), Peer: pod, Timeout: second}, stranger},
		{"nobody answers the datagram",
			ladder.Spec{Method: ladder.UDP, Address: silent(t, func([]byte) []byte { return nil }), Timeout: short},
			failed(ladder.NoAnswer)},
		{"nobody listens for datagrams",
			ladder.Spec{Method: ladder.UDP, Address: closed(t, "udp"), Timeout: second}, failed(ladder.Refused)},
		{"a stranger answers the datagram", ladder.Spec{Method: ladder.UDP, Timeout: second,
			Address: silent(t, func([]byte) []byte { return []byte("hello") })}, failed(ladder.BadReply)},
		{"a connection is made", ladder.Spec{Method: ladder.TCP, Address: mute(t), Timeout: second},
			ladder.Counts{Sent: 1, Answered: 1}},
		{"nobody listens for connections", ladder.Spec{Method: ladder.TCP, Address: closed(t, "tcp"), Timeout: second},
			failed(ladder.Refused)},
		{"a connection without a reply", ladder.Spec{Method: ladder.HTTP, Address: mute(t), Timeout: short},
			failed(ladder.NoReply)},
		{"an agent's page", ladder.Spec{Method: ladder.HTTP, Timeout: second,
			Address: page(t, http.StatusOK, fmt.Sprintf(agentPage, pod))},
			ladder.Counts{Sent: 1, Answered: 1, Peers: map[string]uint64{pod: 1}}},
		{"another agent's page", ladder.Spec{Method: ladder.HTTP, Peer: pod, Timeout: second,
			Address: page(t, http.StatusOK, fmt.Sprintf(agentPage, "agent-2"))}, stranger},
		{"a foreign page", ladder.Spec{Method: ladder.HTTP, Timeout: second, Address: page(t, http.StatusOK, "welcome")},
			failed(ladder.BadReply)},
		{"a status of a proxy", ladder.Spec{Method: ladder.HTTP, Timeout: second,
			Address: page(t, http.StatusBadGateway, fmt.Sprintf(agentPage, pod))}, failed(ladder.BadReply)},
		{"a DNS server that knows the name", ladder.Spec{Method: ladder.DNS, Timeout: second,
			Address: silent(t, dns(dnsmessage.RCodeSuccess))}, ladder.Counts{Sent: 1, Answered: 1}},
		{"a DNS server that does not know the name", ladder.Spec{Method: ladder.DNS, Timeout: second,
			Address: silent(t, dns(dnsmessage.RCodeNameError))}, ladder.Counts{Sent: 1, Answered: 1}},
		{"a DNS server that fails", ladder.Spec{Method: ladder.DNS, Timeout: second,
			Address: silent(t, dns(dnsmessage.RCodeServerFailure))}, failed(ladder.BadReply)},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Count = 1
			got := Run(t.Context(), []ladder.Spec{c.spec})[0]
			got.Mean, got.Max = 0, 0
			if diff := cmp.Diff(ladder.Result{Counts: c.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// dns answers queries with the code.
func dns(code dnsmessage.RCode) func([]byte) []byte {
	return func(b []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(b) != nil {
			return nil
		}
		m.Response, m.RCode = true, code
		packed, err := m.Pack()
		if err != nil {
			return nil
		}
		return packed
	}
}

func TestTheSizeOfTheLargestPacketIsFound(t *testing.T) {
	// The other side answers payloads of up to 1000 bytes alone.
	address := silent(t, as("agent-1", 1000))
	specs := []ladder.Spec{{Method: ladder.UDP, Address: address, Bytes: ladder.FullSize, Count: 1, Peer: "agent-1",
		Timeout: 300 * time.Millisecond}}
	got := Run(t.Context(), specs)[0]
	if want := 1000 + headers4; got.PathMTU != want || got.Answered != 0 {
		t.Errorf("the largest packet has %d bytes, and %d full ones were answered; want %d and none", got.PathMTU,
			got.Answered, want)
	}
}

func TestAProbeIsSentAsOftenAsAsked(t *testing.T) {
	specs := []ladder.Spec{
		{Method: ladder.UDP, Address: silent(t, as("a", 1<<16)), Count: 3, Timeout: 5 * time.Second},
		{Method: ladder.UDP, Address: silent(t, as("b", 1<<16)), Count: 1, Timeout: 5 * time.Second},
	}
	got := Run(t.Context(), specs)
	if got[0].Answered != 3 || got[1].Answered != 1 || got[0].Mean <= 0 || got[0].Max < got[0].Mean {
		t.Errorf("got %+v; want 3 and 1 answers with their times", got)
	}
}

func TestAnAttemptThatIsCutOffIsNotCounted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	specs := []ladder.Spec{{Method: ladder.TCP, Address: mute(t), Count: 2, Timeout: time.Second}}
	if got := Run(ctx, specs)[0]; got.Sent != 0 {
		t.Errorf("%d attempts are counted", got.Sent)
	}
}

func TestParseResolver(t *testing.T) {
	got := parseResolver("# a comment\nsearch kdoctor.svc.example.org svc.example.org example.org\n" +
		"nameserver 10.96.0.10\nnameserver nonsense\nnameserver fd00::10\noptions ndots:5\nsearch\n")
	want := resolver{servers: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::10")},
		domain: "example.org"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(resolver{}), cmp.Comparer(
		func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := parseResolver("nameserver 1.2.3.4").domain; got != defaultDomain {
		t.Errorf("without a search list the domain is %q", got)
	}
}
