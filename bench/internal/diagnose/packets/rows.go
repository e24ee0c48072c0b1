package packets

import (
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// rows are the rows of the table that show in a round's probes. Left out are those that nothing fails of (11, 44 to 46,
// 54), that are no fault (34, 65), that need what no probe of the plan has (38, 39, 42), that did not occur (52), that
// have no single signature (8, 25, 26, 62), and 43, which shows as 24 or 29.
func rows() []row {
	return append(append(nodeRows(), overlayRows()...), append(serviceRows(), agentRows()...)...)
}

// nodeRows are rows 1 to 14.
func nodeRows() []row {
	return []row{
		{name: "1 node or its NIC down", hard: true, make: nicDown},
		{name: "2/3 NIC loses packets", gray: true, make: nicLoss},
		{name: "4 one member of a bond loses all", gray: true, make: bondMember},
		{name: "5 rate cap, full queue", gray: true, make: rateCap},
		{name: "6 wrong neighbour entry", hard: true, scaled: true, make: func(s *scene) effect {
			s.pair(infer.NodePair)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.wire() && l.between(s.x, s.y) })
		}},
		{name: "7 duplicate node address", hard: true, make: duplicateNode},
		{name: "9 link between zones down", hard: true, zones: true, make: func(s *scene) effect {
			s.zones(infer.ZonePair)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.wire() && l.crosses(s.world, s.v, s.u) })
		}},
		{name: "10 link between zones loses packets", gray: true, zones: true, make: func(s *scene) effect {
			s.zones(infer.ZonePair)
			return func(l leg, at *round.Attempt) round.Loss {
				if l.wire() && l.crosses(s.world, s.v, s.u) {
					return lossy(at, s.share)
				}
				return none()
			}
		}},
		{name: "12 MTU too small between zones", hard: true, zones: true, make: func(s *scene) effect {
			s.zones(infer.ZonePair)
			return s.when(func(l leg, at *round.Attempt) bool {
				return at.Large && l.wire() && l.crosses(s.world, s.v, s.u)
			})
		}},
		{name: "12 MTU too small at a node's port", hard: true, make: func(s *scene) effect {
			s.at(infer.NodeNetwork)
			return s.when(func(l leg, at *round.Attempt) bool { return at.Large && l.wire() && l.at(s.x) })
		}},
		{name: "13 tunnel dropped between zones", hard: true, scaled: true, zones: true, make: func(s *scene) effect {
			s.zones(infer.ZonePodPair)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.tunnel() && l.crosses(s.world, s.v, s.u) })
		}},
		{name: "14 firewall for the probe port", hard: true, hosts: true, make: func(s *scene) effect {
			s.at(infer.ProbePort)
			return s.when(func(l leg, _ *round.Attempt) bool {
				return (l.kind == hostHost || l.kind == podHost || l.kind == ownHost) && l.b == s.x
			})
		}},
	}
}

// when loses all without an answer where a condition holds.
func (s *scene) when(is func(l leg, at *round.Attempt) bool) effect {
	return func(l leg, at *round.Attempt) round.Loss {
		if is(l, at) {
			return all(ladder.NoAnswer)
		}
		return none()
	}
}

// nicDown is row 1. The node itself knows no way out; its report is missing, or comes when the link is back.
func nicDown(s *scene) effect {
	s.at(infer.NodeNetwork)
	if s.random.IntN(2) == 0 {
		s.out.NoPodReport, s.out.NoHostReport = []int{s.x}, []int{s.x}
	}
	return func(l leg, at *round.Attempt) round.Loss {
		switch {
		case !l.wire() || !l.at(s.x):
			return none()
		case at.From == s.x:
			return all(ladder.Unreachable)
		default:
			return all(ladder.NoAnswer)
		}
	}
}

// nicLoss is rows 2 and 3, which round trips cannot tell apart.
func nicLoss(s *scene) effect {
	s.at(infer.NodeNetwork)
	return func(l leg, at *round.Attempt) round.Loss {
		if l.wire() && l.at(s.x) {
			return lossy(at, s.share)
		}
		return none()
	}
}

// bondMember is row 4: the same ports always fail. Every probe has a port of its own, and a connection keeps its port
// when it sends again.
func bondMember(s *scene) effect {
	s.at(infer.NodeNetwork)
	s.share = 0.25
	return func(l leg, at *round.Attempt) round.Loss {
		if !l.wire() || !l.at(s.x) {
			return none()
		}
		if s.coin(4, at.From, at.To, l.a, l.b, len(at.Rung), len(at.Family), len(at.Method), at.Number, size(at)) == 0 {
			return all(ladder.NoAnswer)
		}
		return none()
	}
}

// size tells streams of the same addresses apart.
func size(at *round.Attempt) int {
	n := 0
	if at.Large {
		n++
	}
	if at.Counted {
		n += 2
	}
	if at.Family == "IPv6" {
		n += 4
	}
	return n
}

// rateCap is row 5: a slow queue loses much of what is large and some of the rest.
func rateCap(s *scene) effect {
	s.at(infer.NodeNetwork)
	s.share = 0.15
	return func(l leg, at *round.Attempt) round.Loss {
		if !l.wire() || !l.at(s.x) {
			return none()
		}
		loss := lossy(at, 0.15)
		if at.Large {
			loss.Share = 0.7
		}
		loss.Slow = 200 * time.Millisecond
		return loss
	}
}

// duplicateNode is row 7: every other node has learnt the stranger's link address. The stranger refuses what it does
// not know, and what is encapsulated gets no answer.
func duplicateNode(s *scene) effect {
	s.at(infer.NodeNetwork)
	return func(l leg, _ *round.Attempt) round.Loss {
		if !l.wire() || !l.at(s.x) {
			return none()
		}
		other := l.a + l.b - s.x
		if s.coin(2, other) == 0 {
			return none()
		}
		if l.b == s.x && !l.tunnel() {
			return all(ladder.Refused)
		}
		return all(ladder.NoAnswer)
	}
}

// overlayRows are rows 15 to 28, and 60 and 61.
func overlayRows() []row {
	return []row{
		{name: "15/17/21 tunnel of a node broken", hard: true, scaled: true, make: func(s *scene) effect {
			s.at(infer.Overlay)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.tunnel() && l.at(s.x) })
		}},
		{name: "16/28 tunnel between two nodes broken", hard: true, scaled: true, make: func(s *scene) effect {
			s.pair(infer.PodPair)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.tunnel() && l.between(s.x, s.y) })
		}},
		{name: "18 no route to a node's pods", hard: true, make: func(s *scene) effect {
			s.pair(infer.PodPair)
			return s.when(func(l leg, at *round.Attempt) bool {
				return at.Family == "IPv4" && l.tunnel() && l.between(s.x, s.y)
			})
		}},
		{name: "19 MTU of the tunnel too small", hard: true, make: tunnelMTU},
		{name: "20 MTU of pods too large", hard: true, make: func(s *scene) effect {
			s.at(infer.Overlay)
			return s.when(func(l leg, at *round.Attempt) bool { return at.Large && l.tunnel() && l.at(s.x) })
		}},
		{name: "22 pod's interface down", hard: true, scaled: true, make: podLinkDown},
		{name: "23/24 no forwarding of IPv4", hard: true, scaled: true, make: forwarding("IPv4")},
		{name: "60 no forwarding of IPv6", hard: true, scaled: true, make: forwarding("IPv6")},
		{name: "27 duplicate pod address", hard: true, make: duplicatePod},
		{name: "59 forwarding drops TCP", hard: true, make: func(s *scene) effect {
			s.at(infer.Forwarding)
			return s.when(func(l leg, at *round.Attempt) bool { return connects(at) && l.forwardedAt(s.x) })
		}},
		{name: "61 neighbour discovery of IPv6 blocked", hard: true, hosts: true, make: func(s *scene) effect {
			s.at(infer.NodeNetwork)
			return s.when(func(l leg, at *round.Attempt) bool {
				return at.Family == "IPv6" && l.wire() && !l.tunnel() && l.at(s.x)
			})
		}},
	}
}

func forwarding(family string) func(s *scene) effect {
	return func(s *scene) effect {
		s.at(infer.Forwarding)
		return s.when(func(l leg, at *round.Attempt) bool {
			return string(at.Family) == family && l.forwardedAt(s.x)
		})
	}
}

// tunnelMTU is row 19: the node itself refuses to send what is large. Its answers are as large as the questions, which
// the table's own probes did not have; both are drawn.
func tunnelMTU(s *scene) effect {
	s.at(infer.Overlay)
	answers := s.random.IntN(2) == 0
	return func(l leg, at *round.Attempt) round.Loss {
		switch {
		case !at.Large || !l.tunnel():
			return none()
		case l.a == s.x:
			return all(ladder.TooLarge)
		case l.b == s.x && answers:
			return all(ladder.NoAnswer)
		default:
			return none()
		}
	}
}

// podLinkDown is row 22.
func podLinkDown(s *scene) effect {
	s.at(infer.PodNetwork)
	return func(l leg, at *round.Attempt) round.Loss {
		switch {
		case !l.podLinkOf(s.x):
			return none()
		case l.b == s.x && l.a == s.x && at.FromHost():
			return all(ladder.Unreachable)
		default:
			return all(ladder.NoAnswer)
		}
	}
}

// duplicatePod is row 27: for every other node the address is that of a stranger, which answers in the pod's place and
// gets the pod's answers.
func duplicatePod(s *scene) effect {
	s.at(infer.PodNetwork, infer.Overlay)
	return func(l leg, _ *round.Attempt) round.Loss {
		switch {
		case !l.tunnel() || !l.at(s.x) || s.coin(2, l.a+l.b-s.x) == 0:
			return none()
		case l.b == s.x && l.kind != podServer:
			return all(ladder.WrongPeer)
		case l.a == s.x && (l.kind == podPod || l.kind == podServer):
			return all(ladder.NoAnswer)
		default:
			return none()
		}
	}
}
