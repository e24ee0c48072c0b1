package wire

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/datagram"
	"kdoctor.io/kdoctor/internal/ladder"
)

// maxPeers bounds the pods that one result names.
const maxPeers = ladder.MaxCount

// Probes returns the message that asks the pod to send the probes.
func Probes(pod string, specs []ladder.Spec) *agentv1.ProbeRequest {
	m := &agentv1.ProbeRequest{Pod: pod}
	for _, s := range specs {
		p := &agentv1.Probe{Method: string(s.Method),
			Bytes:   int32(min(max(s.Bytes, ladder.FullSize), math.MaxInt16)), // #nosec G115 -- ParseProbes bounds it
			Count:   uint32(max(s.Count, 0)),                                  // #nosec G115 -- as above
			Timeout: durationpb.New(s.Timeout), Peer: s.Peer, SourcePort: uint32(s.SourcePort)}
		if s.Address.IsValid() {
			p.Address = s.Address.String()
		}
		m.Probes = append(m.Probes, p)
	}
	return m
}

// ParseProbes reads which probes to send, and refuses what this release cannot send: 1 to ladder.MaxSpecs probes, each
// sent 1 to ladder.MaxCount times, with a timeout of 1 ms to ladder.MaxTimeout.
func ParseProbes(m *agentv1.ProbeRequest) (pod string, specs []ladder.Spec, err error) {
	if n := len(m.GetProbes()); n < 1 || n > ladder.MaxSpecs {
		return "", nil, fmt.Errorf("%d probes were asked for, 1 to %d are possible", n, ladder.MaxSpecs)
	}
	if err := text("pod", m.GetPod(), 1, maxNameBytes); err != nil {
		return "", nil, err
	}
	for i, p := range m.GetProbes() {
		s, err := parseProbe(p)
		if err != nil {
			return "", nil, fmt.Errorf("probe %d: %w", i, err)
		}
		specs = append(specs, s)
	}
	return m.GetPod(), specs, nil
}

// methods are the methods that this release knows.
func methods() []ladder.Method {
	return []ladder.Method{ladder.UDP, ladder.ICMP, ladder.TCP, ladder.HTTP, ladder.DNS}
}

func parseProbe(m *agentv1.Probe) (ladder.Spec, error) {
	s := ladder.Spec{Method: ladder.Method(m.GetMethod()), Bytes: int(m.GetBytes()), Count: int(m.GetCount()),
		Peer: m.GetPeer()}
	if !slices.Contains(methods(), s.Method) {
		return ladder.Spec{}, fmt.Errorf("this release has no method %q", m.GetMethod())
	}
	if m.GetAddress() == "" && s.Method != ladder.DNS {
		return ladder.Spec{}, errors.New("there is no address")
	}
	var err error
	if m.GetAddress() != "" {
		if s.Address, err = netip.ParseAddrPort(m.GetAddress()); err != nil || s.Address.Addr().Zone() != "" {
			return ladder.Spec{}, fmt.Errorf("%q is no address and port", m.GetAddress())
		}
		if (s.Address.Port() == 0) != (s.Method == ladder.ICMP) {
			return ladder.Spec{}, fmt.Errorf("port %d does not fit %s", s.Address.Port(), s.Method)
		}
	}
	switch {
	case s.Bytes < ladder.FullSize || s.Bytes > datagram.MaxBytes:
		return ladder.Spec{}, fmt.Errorf("packets of %d bytes are not possible", s.Bytes)
	case s.Count < 1 || s.Count > ladder.MaxCount:
		return ladder.Spec{}, fmt.Errorf("a count of %d is outside 1 to %d", s.Count, ladder.MaxCount)
	case m.GetSourcePort() > math.MaxUint16:
		return ladder.Spec{}, fmt.Errorf("there is no port %d", m.GetSourcePort())
	}
	s.SourcePort = uint16(m.GetSourcePort()) // #nosec G115 -- bounded above
	if err := text("peer", s.Peer, 0, maxNameBytes); err != nil {
		return ladder.Spec{}, err
	}
	s.Timeout, err = duration("timeout", m.GetTimeout(), time.Millisecond, ladder.MaxTimeout)
	return s, err
}

// ProbeResults returns the message for the results.
func ProbeResults(results []ladder.Result) *agentv1.ProbeResponse {
	m := &agentv1.ProbeResponse{}
	for _, r := range results {
		p := &agentv1.ProbeResult{Sent: small(r.Sent), Answered: small(r.Answered), Retried: small(r.Retried),
			PathMtu: small(uint64(max(r.PathMTU, 0))), Unsupported: r.Unsupported} // #nosec G115 -- not negative
		if r.Answered > 0 {
			p.Mean, p.Max = durationpb.New(r.Mean), durationpb.New(r.Max)
		}
		for failure, n := range r.Failures {
			if p.Failures == nil {
				p.Failures = map[string]uint32{}
			}
			p.Failures[string(failure)] = small(n)
		}
		for peer, n := range r.Peers {
			if p.Peers == nil {
				p.Peers = map[string]uint32{}
			}
			p.Peers[peer] = small(n)
		}
		m.Results = append(m.Results, p)
	}
	return m
}

// small returns a count that fits the message; larger ones do not occur, and ParseProbeResults refuses them.
func small(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) } // #nosec G115 -- bounded

// ParseProbeResults reads the results of the probes and refuses those that do not add up.
func ParseProbeResults(m *agentv1.ProbeResponse, specs []ladder.Spec) ([]ladder.Result, error) {
	if len(m.GetResults()) != len(specs) {
		return nil, fmt.Errorf("%d results of %d probes", len(m.GetResults()), len(specs))
	}
	results := make([]ladder.Result, 0, len(specs))
	for i, p := range m.GetResults() {
		r, err := parseProbeResult(p, specs[i])
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", i, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func parseProbeResult(m *agentv1.ProbeResult, s ladder.Spec) (ladder.Result, error) {
	r := ladder.Result{Unsupported: clean(m.GetUnsupported()), Counts: ladder.Counts{Sent: uint64(m.GetSent()),
		Answered: uint64(m.GetAnswered()), Retried: uint64(m.GetRetried()), PathMTU: int(m.GetPathMtu())}}
	if r.Sent > uint64(max(s.Count, 0)) || r.Answered > r.Sent || r.Retried > r.Answered || len(m.GetFailures()) > 16 ||
		len(m.GetPeers()) > maxPeers || r.PathMTU > datagram.MaxBytes {
		return ladder.Result{}, errors.New("it does not add up")
	}
	var failed uint64
	for _, name := range slices.Sorted(maps.Keys(m.GetFailures())) {
		if err := text("failure", name, 1, 64); err != nil {
			return ladder.Result{}, err
		}
		n := uint64(m.GetFailures()[name])
		failed += n
		if r.Failures == nil {
			r.Failures = map[ladder.Failure]uint64{}
		}
		r.Failures[ladder.Failure(name)] = n
	}
	if failed != r.Failed() {
		return ladder.Result{}, fmt.Errorf("%d of %d failed, and %d failures are told", r.Failed(), r.Sent, failed)
	}
	for peer, n := range m.GetPeers() {
		if err := text("peer", peer, 1, maxNameBytes); err != nil {
			return ladder.Result{}, err
		}
		if r.Peers == nil {
			r.Peers = map[string]uint64{}
		}
		r.Peers[peer] = uint64(n)
	}
	if r.Answered == 0 {
		return r, nil
	}
	var err error
	if r.Mean, err = duration("mean", m.GetMean(), 0, ladder.MaxTimeout); err != nil {
		return ladder.Result{}, err
	}
	r.Max, err = duration("max", m.GetMax(), 0, ladder.MaxTimeout)
	return r, err
}

// clean returns a foreign clause fit for people, cut to 200 bytes.
func clean(s string) string {
	const most = 200
	s = Printable(s)
	return s[:min(len(s), most)]
}
