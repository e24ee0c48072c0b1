package diagnose

import (
	"fmt"
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// goneAddresses returns the addresses to which Services led shortly before the round or during it, and did not lead any
// more, each once: those of the IP families in which requests failed. It is empty for a component that leads no
// connection to endpoints.
func (l locator) goneAddresses(f infer.Fault) (all []string) {
	switch f.Component.Part {
	case infer.Service, infer.Endpoint, infer.KubeProxy, infer.NodePort:
	default:
		return nil
	}
	for _, of := range l.round.Endpoints {
		for _, address := range of.Gone {
			if slices.ContainsFunc(f.Observations(), func(i int) bool {
				return l.seen[i].Failed() > 0 && l.seen[i].Family == familyOf(address)
			}) {
				all = append(all, address)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// familyOf returns the IP family of an address with or without a port, empty for another text.
func familyOf(text string) topology.Family {
	address, err := netip.ParseAddr(text)
	if with, withErr := netip.ParseAddrPort(text); withErr == nil {
		address, err = with.Addr(), nil
	}
	if err != nil {
		return ""
	}
	return topology.FamilyOf(address)
}

// stillTracked reports whether fewer connections are lost than rules would lose that still lead to the endpoints that
// have gone: such rules lead each endpoint its share of all connections. Tracked connections catch only clients that
// use a local port again.
func (s symptoms) stillTracked() bool {
	gone := s.goneOfAFamily()
	return gone > 0 && s.mostly(ladder.NoAnswer) && s.fault.Severity < float64(gone)/float64(s.backends+gone)/2
}

// goneOfAFamily is how many endpoints have gone of that IP family which lost most of them.
func (s symptoms) goneOfAFamily() (most int) {
	count := map[topology.Family]int{}
	for _, address := range s.gone {
		family := familyOf(address)
		count[family]++
		most = max(most, count[family])
	}
	return most
}

// tracked is the cause of connections that a kernel leads to an endpoint that has gone.
func (s symptoms) tracked(loss string) cause {
	to := "an endpoint that has"
	if len(s.gone) > 1 {
		to = "endpoints that have"
	}
	return cause{"ConntrackStale", fmt.Sprintf("some connections are still led to %s gone: %s (%s)", to,
		firstNames(s.gone), loss), fmt.Sprintf("the nodes' tables of tracked connections (conntrack -L): an entry without "+
		"an answer leads a client that uses its local port again to the old address, for up to %.0f minutes",
		topology.TrackedFor.Minutes())}
}

// goneEvidence says which endpoints have gone.
func (l locator) goneEvidence(f infer.Fault) []string {
	gone := l.goneAddresses(f)
	if len(gone) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("EndpointSlices no longer have %s, which they had less than %.0f minutes before the "+
		"round, or during it", firstNames(gone), topology.TrackedFor.Minutes())}
}
