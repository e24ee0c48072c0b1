package fleet

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// fate is what becomes of one attempt.
type fate uint8

const (
	answered fate = iota
	timedOut
	refused
)

// distance is how far the answer comes from.
type distance uint8

const (
	sameNode distance = iota
	sameZone
	otherZone
	distances
)

// destination is where a target leads. Entry is the node whose address it has, -1 for none; pod is the only pod that
// may answer, -1 where any may.
type destination struct{ entry, pod int }

// destinationOf reads it from the target's address: agents know no more of a target than that.
func destinationOf(t target.Target) destination {
	host, _, _ := strings.Cut(strings.TrimPrefix(t.Address, "http://"), ":")
	a, err := netip.ParseAddr(host)
	i, node, ok := indexOf(a)
	switch {
	case err != nil, !ok:
		return destination{-1, -1}
	case node:
		return destination{i, -1}
	default:
		return destination{i, i}
	}
}

// measured computes what one agent measures in one round.
type measured struct {
	fault Fault
	nodes int
	// from is the index of the agent's node.
	from   int
	load   mesh.Load
	pool   *pool
	random *rand.Rand
	began  time.Time
	// arrived is told of the requests that a pod answered.
	arrived func(pod int, counted, persistent uint64)
}

// paths computes the paths to the targets.
func (m measured) paths(targets []target.Target) []report.Path {
	paths := make([]report.Path, len(targets))
	var kept []report.Path
	persistent, _ := m.load.Persistent()
	if persistent > 0 {
		kept = make([]report.Path, len(targets))
	}
	for i, t := range targets {
		to := destinationOf(t)
		m.stream(&paths[i], to, m.load.Requests(), false)
		paths[i].Target = t
		if persistent > 0 {
			m.stream(&kept[i], to, persistent, true)
			paths[i].Persistent = &kept[i]
		}
	}
	return paths
}

// stream computes the counted or the persistent requests to a destination. Services choose a pod again for each counted
// request, and one for the persistent stream.
func (m measured) stream(into *report.Path, to destination, requests uint64, persistent bool) {
	var peers map[string]uint64
	var lost uint64
	outcome, far := answered, otherZone
	switch {
	case to.entry >= 0 && m.fault == BlockedPort && to.pod < 0 && to.entry == Victim(m.nodes):
		outcome = refused
	case to.entry >= 0 && m.fault.lostBetween(m.from, to.entry, m.nodes):
		outcome = timedOut
	case to.pod >= 0:
		far = m.far(to.pod)
		peers = m.pool.only(to.pod, requests)
	default:
		peers, lost = m.choose(to.entry, requests, persistent)
	}
	shape := shape{fate: outcome, far: far, requests: requests, persistent: persistent, lost: lost}
	if outcome != answered {
		shape.lost = requests
	} else if lost > 0 {
		shape.fate = timedOut
	}
	shape.lossy = m.fault == Loss && far != sameNode
	*into = *m.pool.draw(shape, m.load, m.random)
	into.Started, into.Ended = m.began, m.began.Add(m.load.Duration)
	if shape.lossy && into.OK < requests {
		peers = fewer(peers, requests-into.OK)
	}
	into.Peers = peers
	if to.pod >= 0 && len(peers) == 1 {
		m.count(to.pod, peers[m.pool.names[to.pod]], persistent)
		return
	}
	for pod, n := range peers {
		m.count(m.pool.pods[pod], n, persistent)
	}
}

func (m measured) count(pod int, n uint64, persistent bool) {
	if persistent {
		m.arrived(pod, 0, n)
	} else {
		m.arrived(pod, n, 0)
	}
}

func (m measured) far(to int) distance {
	switch {
	case to == m.from:
		return sameNode
	case to%Zones == m.from%Zones:
		return sameZone
	default:
		return otherZone
	}
}

// choose leads requests to pods at random, as a Service does on the node entry, or on the agent's own for a cluster
// address. It returns how many were answered by each pod, and how many were lost on the way.
func (m measured) choose(entry int, requests uint64, persistent bool) (peers map[string]uint64, lost uint64) {
	if entry < 0 {
		entry = m.from
	}
	each := uint64(1)
	if persistent {
		each = requests
	}
	for left := requests; left > 0; left -= each {
		pod := m.random.IntN(m.nodes)
		if m.fault.lostBetween(entry, pod, m.nodes) {
			lost++
			// A connection that cannot be opened is tried again, and then another pod may be chosen.
			each = 1
			continue
		}
		if persistent {
			each = left
		}
		if each == requests {
			return m.pool.only(pod, requests), lost
		}
		if peers == nil {
			peers = make(map[string]uint64, requests)
		}
		peers[m.pool.names[pod]] += each
	}
	return peers, lost
}

// fewer returns the answers of the pods without n of them.
func fewer(peers map[string]uint64, n uint64) map[string]uint64 {
	peers = maps.Clone(peers)
	for pod, has := range peers {
		gone := min(has, n)
		if n -= gone; has == gone {
			delete(peers, pod)
		} else {
			peers[pod] = has - gone
		}
	}
	if len(peers) == 0 {
		return nil
	}
	return peers
}

// round trips, the time that the other side takes, and how much later an agent starts and reads than it should; each
// varies by as much again.
func trip(d distance) time.Duration {
	return [distances]time.Duration{60 * time.Microsecond, 250 * time.Microsecond, 900 * time.Microsecond}[d]
}

const (
	answering = 80 * time.Microsecond
	late      = 150 * time.Microsecond
	// retransmission is after how long a segment is sent again, and firstRetransmission a segment that opens a
	// connection.
	retransmission      = 204 * time.Millisecond
	firstRetransmission = time.Second
	lossShare           = 0.02
	answerBytes         = 342
)

// sample makes one attempt that starts when it is due. The first attempt of a persistent stream opens its connection.
func sample(random *rand.Rand, s shape, due time.Time, opens bool, timeout time.Duration) probe.Sample {
	vary := func(d time.Duration) time.Duration {
		return d/2 + time.Duration(random.Int64N(int64(d)))
	}
	a := probe.Sample{Due: due, Start: due.Add(vary(late)), Own: vary(late / 4), Reused: !opens}
	tooLate := func(phase probe.Phase) probe.Sample {
		a.Outcome, a.Phase, a.Message, a.Latency = probe.Timeout, phase, noAnswer(timeout), timeout
		return a
	}
	lost := func() bool { return s.lossy && random.Float64() < lossShare }
	if opens {
		a.Phases[probe.Connect] = vary(trip(s.far))
		// Either of the first two segments may be lost.
		if first, second := lost(), lost(); first || second {
			if firstRetransmission > timeout {
				return tooLate(probe.Connect)
			}
			a.Phases[probe.Connect] += firstRetransmission
			a.Retransmits++
		}
	}
	a.Phases[probe.FirstByte] = vary(trip(s.far)) + vary(answering)
	sent, back := lost(), lost()
	if sent || back {
		a.Phases[probe.FirstByte] += retransmission
	}
	if sent {
		a.Retransmits++
	}
	a.Phases[probe.Body] = vary(answering / 4)
	for _, d := range a.Phases {
		a.Latency += d
	}
	if a.Latency > timeout {
		return tooLate(probe.FirstByte)
	}
	a.Status, a.Kernel, a.Bytes = 200, true, answerBytes
	return a
}
