package packets

import (
	"math"
	"math/rand/v2"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// scene is where a row happens: at node x and its peer y, at zones v and u, at DNS server k, with a share of loss.
type scene struct {
	world      *world.World
	random     *rand.Rand
	x, y, v, u int
	k          int
	share      float64
	salt       uint64
	out        round.Fault
}

func newScene(w *world.World, share float64, random *rand.Rand) *scene {
	offsets := w.Offsets(0)
	s := &scene{world: w, random: random, share: share, x: random.IntN(len(w.Nodes)), k: random.IntN(len(w.DNS)),
		salt: random.Uint64()}
	s.y = (s.x + offsets[random.IntN(len(offsets))]) % len(w.Nodes)
	s.v = random.IntN(w.Zones)
	s.u = (s.v + 1 + random.IntN(max(1, w.Zones-1))) % w.Zones
	return s
}

// fault returns the row as a fault. A row that loses all becomes a gray one by a share of its packets, or in one pass.
func (s *scene) fault(r row, severity round.Severity) round.Fault {
	e := r.make(s)
	s.out.Truth.Kind = r.name
	if severity != round.Hard && r.scaled && !r.gray {
		e = s.scale(e)
	}
	s.out.Truth.Severity = s.share
	var way []leg
	s.out.Lose = func(at *round.Attempt) round.Loss {
		way = legs(way[:0], at, s.world.DNS)
		return combine(way, at, e)
	}
	s.out.Touches = func(p *world.Probe) bool {
		way = legs(way[:0], &round.Attempt{Probe: p, Endpoint: world.None}, s.world.DNS)
		for _, l := range way {
			if l.at(s.x) || l.at(s.y) || l.kind > translate || l.crosses(s.world, s.v, s.u) {
				return true
			}
		}
		return false
	}
	return s.out
}

// combine adds up what a row does on all legs.
func combine(way []leg, at *round.Attempt, e effect) round.Loss {
	var sum round.Loss
	for _, l := range way {
		one := e(l, at)
		if one.Share > 0 && sum.How == "" {
			sum.How = one.How
		}
		sum.Share = 1 - (1-sum.Share)*(1-one.Share)
		sum.Retried = 1 - (1-sum.Retried)*(1-one.Retried)
		sum.Slow += one.Slow
	}
	return sum
}

// scale lets a row act on a share of the packets, or in one pass alone.
func (s *scene) scale(e effect) effect {
	if s.random.IntN(3) == 0 {
		pass := s.random.IntN(world.Passes)
		s.share = 1.0 / world.Passes
		return func(l leg, at *round.Attempt) round.Loss {
			if at.Pass != pass {
				return round.Loss{}
			}
			return e(l, at)
		}
	}
	return func(l leg, at *round.Attempt) round.Loss {
		whole := e(l, at)
		if whole.Share <= 0 {
			return whole
		}
		part := lossy(at, s.share*whole.Share)
		part.How = whole.How
		return part
	}
}

// at names the component of a part at node x as the right answer, or as another right one.
func (s *scene) at(parts ...infer.Part) {
	for _, part := range parts {
		s.accept(infer.Component{Part: part, Node: s.world.Nodes[s.x]})
	}
}

// pair names a component between x and y, zones one between v and u.
func (s *scene) pair(part infer.Part) {
	s.accept(infer.Component{Part: part, Node: s.world.Nodes[s.x], Peer: s.world.Nodes[s.y]})
}

func (s *scene) zones(part infer.Part) {
	s.accept(infer.Component{Part: part, Node: s.world.ZoneNames[s.v], Peer: s.world.ZoneNames[s.u]})
}

func (s *scene) accept(c infer.Component) { s.out.Truth.Accept = append(s.out.Truth.Accept, c) }

// coin returns a fixed draw, 0 to below n, for a set of numbers: what hashes and caches decide in a cluster.
func (s *scene) coin(n uint64, of ...int) uint64 {
	h := s.salt
	for _, v := range of {
		h ^= uint64(v) + 0x9e3779b97f4a7c15 // #nosec G115 -- bits of a hash
		h *= 0xbf58476d1ce4e5b9
		h ^= h >> 29
	}
	return h % n
}

// all is the loss of everything, with one error.
func all(how ladder.Failure) round.Loss { return round.Loss{Share: 1, How: how} }

// none is no loss.
func none() round.Loss { return round.Loss{} }

// connects reports whether a probe opens a connection.
func connects(at *round.Attempt) bool { return at.Method == ladder.HTTP || at.Method == ladder.TCP }

// Segments that are sent again: the opening of a connection twice within a probe's timeout and three times within a
// counted request's, data four times.
const (
	openings        = 2
	countedOpenings = 3
	sendings        = 4
)

// lossy is what the loss of a share of packets, in one direction of a path, does to an attempt.
func lossy(at *round.Attempt, share float64) round.Loss {
	if !connects(at) {
		return round.Loss{Share: share, How: ladder.NoAnswer}
	}
	tries := openings
	if at.Counted {
		tries = countedOpenings
	}
	lost := 1 - (1-math.Pow(share, float64(tries)))*(1-math.Pow(share, sendings))
	return round.Loss{Share: lost, How: ladder.NoAnswer, Retried: share * (1 - lost)}
}
