package wire_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/wire"
)

func specs() []ladder.Spec {
	return []ladder.Spec{
		{Method: ladder.UDP, Address: netip.MustParseAddrPort("10.0.0.1:80"), Bytes: ladder.FullSize, Count: 2,
			Timeout: time.Second, Peer: "agent-1", SourcePort: 4000},
		{Method: ladder.ICMP, Address: netip.MustParseAddrPort("[fd00::1]:0"), Count: 1, Timeout: time.Second},
		{Method: ladder.DNS, Count: 3, Timeout: 2 * time.Second},
	}
}

func TestProbesAndResultsComeAcross(t *testing.T) {
	pod, got, err := wire.ParseProbes(wire.Probes("agent-0", specs()))
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(specs(), got, same); diff != "" || pod != "agent-0" {
		t.Errorf("for %s (-want +got):\n%s", pod, diff)
	}
	results := []ladder.Result{
		{Counts: ladder.Counts{Sent: 2, Failures: map[ladder.Failure]uint64{ladder.NoAnswer: 2}, PathMTU: 1400}},
		{Unsupported: "no echo requests"},
		{Counts: ladder.Counts{Sent: 3, Answered: 2, Retried: 1, Mean: time.Millisecond, Max: 2 * time.Millisecond,
			Failures: map[ladder.Failure]uint64{ladder.Refused: 1}, Peers: map[string]uint64{"agent-2": 2}}},
	}
	back, err := wire.ParseProbeResults(wire.ProbeResults(results), specs())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProbesThatNoControllerAsksForAreRefused(t *testing.T) {
	for name, change := range map[string]func(*agentv1.ProbeRequest){
		"no pod":                     func(m *agentv1.ProbeRequest) { m.Pod = "" },
		"no probes":                  func(m *agentv1.ProbeRequest) { m.Probes = nil },
		"an unknown method":          func(m *agentv1.ProbeRequest) { m.Probes[0].Method = "SCTP" },
		"a name for an address":      func(m *agentv1.ProbeRequest) { m.Probes[0].Address = "example.org:80" },
		"an address with a zone":     func(m *agentv1.ProbeRequest) { m.Probes[0].Address = "[fe80::1%eth0]:80" },
		"no address":                 func(m *agentv1.ProbeRequest) { m.Probes[0].Address = "" },
		"a port for an echo request": func(m *agentv1.ProbeRequest) { m.Probes[1].Address = "[fd00::1]:7" },
		"no port":                    func(m *agentv1.ProbeRequest) { m.Probes[0].Address = "10.0.0.1:0" },
		"too often":                  func(m *agentv1.ProbeRequest) { m.Probes[0].Count = ladder.MaxCount + 1 },
		"never":                      func(m *agentv1.ProbeRequest) { m.Probes[0].Count = 0 },
		"a packet that is too large": func(m *agentv1.ProbeRequest) { m.Probes[0].Bytes = 1 << 20 },
		"a port beyond the last":     func(m *agentv1.ProbeRequest) { m.Probes[0].SourcePort = 1 << 16 },
		"no timeout":                 func(m *agentv1.ProbeRequest) { m.Probes[0].Timeout = nil },
		"a long timeout": func(m *agentv1.ProbeRequest) {
			m.Probes[0].Timeout = durationpb.New(ladder.MaxTimeout + 1)
		},
		"a peer with a line break": func(m *agentv1.ProbeRequest) { m.Probes[0].Peer = "a\nb" },
		"more than may be asked for": func(m *agentv1.ProbeRequest) {
			for len(m.Probes) <= ladder.MaxSpecs {
				m.Probes = append(m.Probes, m.Probes[0])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := wire.Probes("agent-0", specs())
			change(m)
			if _, _, err := wire.ParseProbes(m); err == nil {
				t.Error("the message is taken")
			}
		})
	}
}

func TestResultsThatDoNotAddUpAreRefused(t *testing.T) {
	good := []ladder.Result{{Counts: ladder.Counts{Sent: 2, Answered: 1, Mean: 1, Max: 1,
		Failures: map[ladder.Failure]uint64{ladder.NoAnswer: 1}}}, {}, {}}
	for name, change := range map[string]func(*agentv1.ProbeResponse){
		"a result too few":             func(m *agentv1.ProbeResponse) { m.Results = m.Results[1:] },
		"more sent than asked for":     func(m *agentv1.ProbeResponse) { m.Results[0].Sent = 3 },
		"more answered than sent":      func(m *agentv1.ProbeResponse) { m.Results[0].Answered = 3 },
		"more retried than answered":   func(m *agentv1.ProbeResponse) { m.Results[0].Retried = 2 },
		"failures that are not failed": func(m *agentv1.ProbeResponse) { m.Results[0].Failures["reset"] = 1 },
		"no failures":                  func(m *agentv1.ProbeResponse) { m.Results[0].Failures = nil },
		"an answer without a time":     func(m *agentv1.ProbeResponse) { m.Results[0].Mean = nil },
		"a long time":                  func(m *agentv1.ProbeResponse) { m.Results[0].Max = durationpb.New(time.Hour) },
		"a packet that is too large":   func(m *agentv1.ProbeResponse) { m.Results[0].PathMtu = 1 << 20 },
		"a peer with a line break": func(m *agentv1.ProbeResponse) {
			m.Results[0].Peers = map[string]uint32{"a\nb": 1}
		},
		"a failure without end": func(m *agentv1.ProbeResponse) {
			m.Results[0].Failures = map[string]uint32{strings.Repeat("x", 100): 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := wire.ProbeResults(good)
			change(m)
			if _, err := wire.ParseProbeResults(m, specs()); err == nil {
				t.Error("the message is taken")
			}
		})
	}
}

func FuzzParseProbes(f *testing.F) {
	b, err := proto.Marshal(wire.Probes("agent-0", specs()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m agentv1.ProbeRequest
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		_, parsed, err := wire.ParseProbes(&m)
		if err != nil {
			return
		}
		for _, s := range parsed {
			if s.Count < 1 || s.Count > ladder.MaxCount || s.Timeout <= 0 || s.Timeout > ladder.MaxTimeout {
				t.Errorf("accepted %+v", s)
			}
		}
	})
}
