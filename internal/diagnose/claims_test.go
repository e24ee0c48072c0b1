package diagnose_test

import (
	"fmt"
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// withIPv6 adds addresses of IPv6 to a cluster.
func withIPv6(s topology.Snapshot) topology.Snapshot {
	more := func(of *[]netip.Addr, format string, i int) {
		*of = append(*of, netip.MustParseAddr(fmt.Sprintf(format, i+1)))
	}
	for i := range s.Nodes {
		more(&s.Nodes[i].Addresses, "fd00::1:%x", i)
		more(&s.Agents[i].Addresses, "fd00::2:%x", i)
		more(&s.Hosts[i].Addresses, "fd00::1:%x", i)
	}
	return s
}

// The tunnel between pods runs over one family, and carries the other one as well: pods lose both where the node's
// network loses the first, and the pods' own network is not blamed.
func TestPodsOfANodeWhoseNetworkFailsInOneFamilyAreNotBlamed(t *testing.T) {
	s := withIPv6(fourNodes(true))
	var seen []ladder.Observation
	for _, sender := range ladder.Plan(s, ladder.Options{Families: []topology.Family{topology.IPv4, topology.IPv6}}) {
		for _, p := range sender.Probes {
			o := p.Of
			if o.From == "n1" {
				// Nobody hears of what the node's agents see.
				continue
			}
			o.Sent, o.Passes, o.Answered = uint64(6*p.Spec.Count), 2, uint64(6*p.Spec.Count)
			below := among(o, ladder.HostToHost, ladder.PodToHost) && o.Family == topology.IPv4
			if o.To == "n1" && (below || among(o, ladder.PodToPod, ladder.HostToPod)) {
				o.Answered, o.FailedPasses = 0, 2
				o.Failures = map[ladder.Failure]uint64{ladder.NoAnswer: o.Sent}
			}
			seen = append(seen, o)
		}
	}
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	if len(found) != 1 || found[0].Reason != "NodeNetworkFault" || found[0].Where != "node n1" {
		t.Errorf("found %+v, want the network of n1 alone", found)
	}
}
