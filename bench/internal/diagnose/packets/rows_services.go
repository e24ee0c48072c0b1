package packets

import (
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// serviceRows are rows 29 to 53.
func serviceRows() []row {
	return append([]row{
		{name: "29 kube-proxy's rules gone", hard: true, scaled: true, make: noRules},
		{name: "30 kube-proxy has a dead endpoint", gray: true, few: true, make: deadEndpoint},
		{name: "31 a Service's endpoint is dead", hard: true, make: func(s *scene) effect {
			s.at(infer.Endpoint)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == entry && l.b == s.x })
		}},
		{name: "32 the agent's listener closed", hard: true, make: func(s *scene) effect {
			s.at(infer.Agent)
			return func(l leg, at *round.Attempt) round.Loss {
				if at.Method == ladder.HTTP && l.answeredBy(s.x) {
					return all(ladder.Refused)
				}
				return none()
			}
		}},
		{name: "33 node port blocked", hard: true, scaled: true, make: func(s *scene) effect {
			s.at(infer.NodePort)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == nodePort && l.a == s.x })
		}},
		{name: "35 masquerade missing", hard: true, make: func(s *scene) effect {
			s.at(infer.NodePort, infer.KubeProxy)
			return s.when(func(l leg, at *round.Attempt) bool {
				return l.kind == nodePort && l.a == s.x && l.b != s.x && at.From != s.x
			})
		}},
		{name: "36 hairpin off", gray: true, few: true, make: func(s *scene) effect {
			s.at(infer.KubeProxy, infer.PodNetwork)
			s.share = 1 / float64(len(s.world.Nodes))
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == hairpin && l.a == s.x })
		}},
		{name: "37 host has no route to Services", hard: true, scaled: true, hosts: true, make: func(s *scene) effect {
			s.at(infer.HostRoute)
			return func(l leg, _ *round.Attempt) round.Loss {
				if l.kind == hostRoute && l.a == s.x {
					return all(ladder.Unreachable)
				}
				return none()
			}
		}},
		{name: "40 table of connections full", hard: true, make: tableFull},
		{name: "41 kube-proxy's connections are reset", gray: true, make: resets},
	}, nameRows()...)
}

// noRules is row 29.
func noRules(s *scene) effect {
	s.at(infer.KubeProxy)
	return func(l leg, _ *round.Attempt) round.Loss {
		switch {
		case l.kind == translate && l.a == s.x:
			return all(ladder.NoAnswer)
		case l.kind == nodePort && l.a == s.x:
			return all(ladder.Refused)
		default:
			return none()
		}
	}
}

// deadEndpoint is row 30.
func deadEndpoint(s *scene) effect {
	s.at(infer.KubeProxy)
	s.share = 1 / float64(len(s.world.Nodes))
	return s.when(func(l leg, _ *round.Attempt) bool {
		return (l.kind == translate || l.kind == nodePort) && l.a == s.x && l.b == s.y
	})
}

// tableFull is row 40: all of the node's traffic but that of a pod with itself; the node's own sending is not
// permitted.
func tableFull(s *scene) effect {
	s.at(infer.NodeNetwork, infer.Forwarding, infer.PodNetwork)
	return func(l leg, at *round.Attempt) round.Loss {
		local := l.kind == hostOwn || l.kind == ownHost
		switch {
		case !l.at(s.x) || !l.wire() && !local:
			return none()
		case l.a == s.x && at.FromHost():
			return all(ladder.NotPermitted)
		default:
			return all(ladder.NoAnswer)
		}
	}
}

// resets is row 41.
func resets(s *scene) effect {
	s.at(infer.KubeProxy)
	return func(l leg, at *round.Attempt) round.Loss {
		if at.Method == ladder.HTTP && l.a == s.x && (l.kind == translate || l.kind == nodePort) {
			return round.Loss{Share: s.share, How: ladder.Reset}
		}
		return none()
	}
}

// nameRows are rows 47 to 53.
func nameRows() []row {
	server := func(s *scene) {
		s.accept(infer.Component{Part: infer.DNSServer, Node: s.world.DNSNodes[s.k], Service: s.world.DNSServers[s.k]})
	}
	return []row{
		{name: "47 one of two Ingress pods bad", gray: true, make: func(s *scene) effect {
			s.accept(infer.Component{Part: infer.Ingress})
			s.share = 0.5
			return func(l leg, _ *round.Attempt) round.Loss {
				if l.kind == ingress {
					return round.Loss{Share: 0.5, How: ladder.Reset}
				}
				return none()
			}
		}},
		{name: "48 Ingress misconfigured", hard: true, make: func(s *scene) effect {
			s.accept(infer.Component{Part: infer.Ingress})
			return func(l leg, _ *round.Attempt) round.Loss {
				if l.kind == ingress {
					return all(ladder.BadReply)
				}
				return none()
			}
		}},
		{name: "49 DNS server drops", hard: true, scaled: true, make: func(s *scene) effect {
			server(s)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == dnsServer && l.b == s.k })
		}},
		{name: "50 DNS server rejects", hard: true, make: func(s *scene) effect {
			server(s)
			return func(l leg, at *round.Attempt) round.Loss {
				if l.kind != dnsServer || l.b != s.k {
					return none()
				}
				return s.rejected(at, 2)
			}
		}},
		{name: "51 DNS Service broken", hard: true, scaled: true, make: func(s *scene) effect {
			s.accept(infer.Component{Part: infer.DNSService})
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == dnsAddress })
		}},
		{name: "51/53 DNS broken at a node", hard: true, scaled: true, make: func(s *scene) effect {
			s.at(infer.DNSWay)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == dnsAddress && l.a == s.x })
		}},
	}
}

// rejected is what a rule that rejects does: connections are refused. Of datagrams one in so many is, since the kernel
// limits the rate of its messages; the others get no answer.
func (s *scene) rejected(at *round.Attempt, one uint64) round.Loss {
	if connects(at) || s.coin(one, at.From, at.To, len(at.Rung), size(at), at.Number) == 0 {
		return all(ladder.Refused)
	}
	return all(ladder.NoAnswer)
}

// agentRows are rows 55 to 58 and 63 to 68.
func agentRows() []row {
	return []row{
		{name: "55 policy keeps traffic from a pod", hard: true, make: policyIn},
		{name: "56 policy keeps a pod's traffic", hard: true, make: policyOut},
		{name: "57 policy keeps a pod from DNS", hard: true, make: func(s *scene) effect {
			s.at(infer.DNSWay, infer.PolicyOut)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == podServer && l.a == s.x })
		}},
		{name: "58 stale policy between two pods", hard: true, make: func(s *scene) effect {
			s.pair(infer.PolicyPair)
			both := s.random.IntN(2) == 0
			return s.when(func(l leg, _ *round.Attempt) bool {
				return l.kind == podPod && (l.a == s.x && l.b == s.y || both && l.a == s.y && l.b == s.x)
			})
		}},
		{name: "63/64 second interface down", hard: true, scaled: true, make: func(s *scene) effect {
			s.at(infer.SecondInterface)
			return s.when(func(l leg, _ *round.Attempt) bool { return l.kind == second && l.at(s.x) })
		}},
		{name: "66 agent frozen", hard: true, make: func(s *scene) effect {
			s.out.NoPodReport = []int{s.x}
			return s.starved(1, 1, 0)
		}},
		{name: "67 agent throttled", gray: true, make: func(s *scene) effect { return s.starved(0.8, 0.4, 0.2) }},
		{name: "68 agent overloaded", gray: true, make: func(s *scene) effect { return s.starved(0, 0, 0.3) }},
	}
}

// policyIn is row 55. The pods' own node is exempt; other nodes' host networks are with some implementations.
func policyIn(s *scene) effect {
	s.at(infer.PolicyIn)
	nodesToo := s.random.IntN(2) == 0
	return s.when(func(l leg, _ *round.Attempt) bool {
		if l.b != s.x || l.a == s.x {
			return false
		}
		return l.kind == podPod || l.kind == inward || nodesToo && (l.kind == hostPod || l.kind == masqPod)
	})
}

// policyOut is row 56, by dropping or by rejecting; other nodes' host networks are exempt with some implementations.
func policyOut(s *scene) effect {
	s.at(infer.PolicyOut)
	rejects, nodesToo := s.random.IntN(2) == 0, s.random.IntN(2) == 0
	return func(l leg, at *round.Attempt) round.Loss {
		kept := l.kind == podPod || l.kind == podServer || l.kind == outward || l.kind == podNode && l.b != s.x ||
			nodesToo && l.kind == podHost
		switch {
		case l.a != s.x || !kept:
			return none()
		case rejects:
			return s.rejected(at, 6)
		default:
			return all(ladder.NoAnswer)
		}
	}
}

// starved is rows 66 to 68: an agent without CPU. It loses shares of requests, of datagrams, and of what it asks
// itself. A connection to it is made, since the kernel makes it.
func (s *scene) starved(requests, datagrams, asks float64) effect {
	s.at(infer.Agent)
	s.share = max(requests, asks)
	if asks > 0 && s.random.IntN(2) == 0 {
		// What a suspect agent asks, and is asked, counts for nothing.
		s.out.Suspect = []int{s.x}
		// The product names it by what the agent said of itself.
		s.out.Truth.Known = true
	}
	return func(l leg, at *round.Attempt) round.Loss {
		loss := round.Loss{}
		if l.answeredBy(s.x) && !(l.kind == self && asks > 0) {
			loss = round.Loss{Share: datagrams, How: ladder.NoAnswer}
			if connects(at) {
				loss = round.Loss{Share: requests, How: ladder.NoReply}
			}
			loss.Slow = 300 * time.Millisecond
		}
		if at.From == s.x && !at.FromHost() && l.kind < translate && asks > 0 {
			loss.Share = 1 - (1-loss.Share)*(1-asks)
			loss.How, loss.Slow = ladder.NoAnswer, 300*time.Millisecond
		}
		return loss
	}
}
