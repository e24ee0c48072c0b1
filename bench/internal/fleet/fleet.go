// Package fleet simulates the agents of a cluster of many nodes in one process. Control servers, certificates, rounds
// and reports are those of a real agent; only what the agents measure is computed, attempt by attempt, from the faults
// that the cluster has.
package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Zones is how many zones the nodes are in, in turn.
const Zones = 3

// MostNodes is how many nodes the addresses suffice for.
const MostNodes = 25_000

// perThird is how many addresses share their third byte.
const perThird = 250

// nodesFrom is the third byte of the first nodes' addresses; pods have those below.
const nodesFrom = 128

// Prefix holds the addresses of all nodes and pods. It is of the range for benchmarks (RFC 2544).
func Prefix() netip.Prefix { return netip.MustParsePrefix("198.19.0.0/16") }

// Node returns the name of the node with the index. It is as long as those of large clouds.
func Node(i int) string {
	return fmt.Sprintf("ip-198-19-%d-%d.eu-central-1.compute.internal", i/perThird, i%perThird)
}

// Pod returns the name of the agent's pod on the node with the index.
func Pod(i int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	suffix := make([]byte, 5)
	for at, n := 0, i*7919+1; at < len(suffix); at, n = at+1, n/len(letters) {
		suffix[at] = letters[n%len(letters)]
	}
	return "kdoctor-agent-" + string(suffix)
}

// Zone returns the zone of the node with the index.
func Zone(i int) string { return fmt.Sprintf("eu-central-1%c", 'a'+i%Zones) }

// NodeAddress and PodAddress return the addresses of the node with the index and of the agent's pod on it.
func NodeAddress(i int) netip.Addr { return address(nodesFrom, i) }

// PodAddress is described with NodeAddress.
func PodAddress(i int) netip.Addr { return address(0, i) }

func address(from, i int) netip.Addr {
	first := Prefix().Addr().As4()
	third, fourth := byte(from+1+i/perThird), byte(1+i%perThird) // #nosec G115 -- both are within the prefix
	return netip.AddrFrom4([4]byte{first[0], first[1], third, fourth})
}

// indexOf returns the index of the node that has the address or whose pod has it; ok is false for an address of
// neither.
func indexOf(a netip.Addr) (i int, node, ok bool) {
	if !Prefix().Contains(a) {
		return 0, false, false
	}
	bytes := a.As4()
	third := int(bytes[2]) - 1
	if node = third >= nodesFrom; node {
		third -= nodesFrom
	}
	return third*perThird + int(bytes[3]) - 1, node, true
}

// Fault is what is wrong with the cluster's network.
type Fault string

// The faults.
const (
	Healthy Fault = "healthy"
	// DeadNode: nothing reaches one node, and nothing leaves it.
	DeadNode Fault = "dead-node"
	// BlockedPort: one node refuses connections to its node ports, from everywhere.
	BlockedPort Fault = "blocked-port"
	// LostZonePair: nothing that a node or pod of the first zone sends to one of the second arrives.
	LostZonePair Fault = "lost-zone-pair"
	// Loss: two segments in a hundred are lost, on every path and in both directions.
	Loss Fault = "loss"
)

// Faults returns all faults. The dead node stands last: who asked it in vain may go on doubting it for a while.
func Faults() []Fault { return []Fault{Healthy, BlockedPort, LostZonePair, Loss, DeadNode} }

// Places returns what names the place of the fault, of which a finding has to name all: a node, or two zones; nothing
// for faults that are everywhere or nowhere.
func (f Fault) Places(nodes int) []string {
	switch f {
	case DeadNode, BlockedPort:
		return []string{Node(Victim(nodes))}
	case LostZonePair:
		return []string{Zone(0), Zone(1)}
	}
	return nil
}

var errFault = errors.New("there is no such fault")

// ParseFault reads the name of a fault.
func ParseFault(name string) (Fault, error) {
	if f := Fault(name); slices.Contains(Faults(), f) {
		return f, nil
	}
	return "", fmt.Errorf("%q: %w; there are %v", name, errFault, Faults())
}

// Victim is the index of the node that has the fault.
func Victim(nodes int) int { return nodes / 2 }

// lostBetween reports whether the fault loses everything between two nodes.
func (f Fault) lostBetween(from, to, nodes int) bool {
	switch f {
	case DeadNode:
		return from != to && (from == Victim(nodes) || to == Victim(nodes))
	case LostZonePair:
		return from%Zones == 0 && to%Zones == 1
	}
	return false
}
