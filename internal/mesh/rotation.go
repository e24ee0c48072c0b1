package mesh

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
)

// Pairs is which pairs of nodes a task wants probed; empty is AutoPairs.
type Pairs string

// The choices of pairs.
const (
	// AutoPairs is every pair where the limits allow it, and a part in each round otherwise.
	AutoPairs Pairs = "Auto"
	// FullPairs is every pair in every round, RotatingPairs a part of the pairs in each round.
	FullPairs     Pairs = "Full"
	RotatingPairs Pairs = "Rotate"
)

// FullNodes is how many nodes are always probed in full.
const FullNodes = 50

// nearNeighbors and farNeighbors are how many nodes of its own zone, and of other zones, an agent probes in every
// round.
const (
	nearNeighbors = 1
	farNeighbors  = 3
)

// Rotation says which pairs of nodes a round probes. Each pair has a class, which depends on the task and the two nodes
// alone: other nodes may come and go. A round probes one class, so that Rounds consecutive rounds probe every pair that
// stays exactly once.
type Rotation struct {
	// Seed differs from task to task.
	Seed uint64 `json:"Seed"`
	// Rounds is a power of two; 0 and 1 probe every pair in every round. Class is below Rounds.
	Rounds uint64 `json:"Rounds"`
	Class  uint64 `json:"Class"`
}

// rotationOf returns the rotation of a task's round.
func rotationOf(uid string, round int64, rounds uint64) Rotation {
	if rounds <= 1 {
		return Rotation{Rounds: 1}
	}
	return Rotation{Seed: hash(uid), Rounds: rounds, Class: uint64(round) & (rounds - 1)}
}

// Full reports whether every pair is probed.
func (r Rotation) Full() bool { return r.Rounds <= 1 }

// probes reports whether the class of the pair is the round's. The nodes are given by their hashes.
func (r Rotation) probes(from, to uint64) bool {
	return r.Full() || mix(r.Seed^mix(from)+bits.RotateLeft64(to, 17))&(r.Rounds-1) == r.Class
}

// roundsFor returns the least power of two of rounds in which an agent has at most the number of nodes a round.
func roundsFor(nodes, each int) uint64 {
	rounds := uint64(1)
	for each > 0 && uint64(nodes) > rounds*uint64(each) { // #nosec G115 -- both are counts
		rounds *= 2
	}
	return rounds
}

// hash is FNV-1a of 64 bits, mixed.
func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	return mix(h.Sum64())
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): each
// bit of the result depends on all bits of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ring has the nodes in the order of their hashes, in a circle. Who comes or goes changes the neighbors of few others.
type ring struct {
	nodes []ringNode
	// places has the places in nodes by the name of the node.
	places map[string]int
}

type ringNode struct {
	name, zone string
	hash       uint64
}

// newRing returns the ring of the nodes, whose zones are given by their names.
func newRing(names []string, zones map[string]string) ring {
	r := ring{places: make(map[string]int, len(names))}
	for _, name := range names {
		r.nodes = append(r.nodes, ringNode{name: name, zone: zones[name], hash: hash(name)})
	}
	slices.SortFunc(r.nodes, func(a, b ringNode) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name))
	})
	for i, n := range r.nodes {
		r.places[n.name] = i
	}
	return r
}

// neighbors returns the nodes that follow the node on the ring: the first of its own zone, and the first few of other
// zones. The very next node is among them, so that the neighbors of all nodes connect all nodes.
func (r ring) neighbors(name string) []string {
	at, ok := r.places[name]
	if !ok {
		return nil
	}
	var found []string
	near, far := nearNeighbors, farNeighbors
	for i := 1; i < len(r.nodes) && near+far > 0; i++ {
		n := r.nodes[(at+i)%len(r.nodes)]
		left := &far
		if n.zone == r.nodes[at].zone {
			left = &near
		}
		if *left > 0 {
			*left--
			found = append(found, n.name)
		}
	}
	return found
}
