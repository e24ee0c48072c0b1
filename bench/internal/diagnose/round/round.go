package round

import (
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Shares of a gone node's connections and of background losses.
const (
	// lag is the share of the round within which Services still lead to the pod of a deleted node.
	lag = 0.05
	// gentle is the share of lost segments that cost a connection all the same.
	gentle = 0.02
	// usual and slowest are round-trip times without a fault.
	usual   = 400 * time.Microsecond
	slowest = 2 * time.Millisecond
)

// Trial is a round with its truth.
type Trial struct {
	Input infer.Input
	// Faults are what was broken; Evidence is for each how many nats the probes that it alone lost are worth.
	Faults   []Fault
	Evidence []float64
	// Lost is for each fault how many probes it alone lost.
	Lost []uint64
}

// Play sends the probes of a round through the faults.
func Play(w *world.World, faults []Fault, c Conditions, number int, random *rand.Rand) *Trial {
	p := newPlayer(w, faults, c, random)
	w.Each(number, p.send)
	t := &Trial{Input: p.input(), Faults: faults}
	for i := range faults {
		t.Evidence = append(t.Evidence, p.marks[i].evidence(p.background))
		t.Lost = append(t.Lost, p.marks[i].lost())
	}
	return t
}

// player plays one round.
type player struct {
	world      *world.World
	faults     []Fault
	conditions Conditions
	random     *rand.Rand
	background float64
	// noPod, noHost are nodes without a report of the agent in the pod and in the host network; gone are deleted nodes.
	noPod, noHost, gone map[int]bool
	suspect             map[string]bool
	observations        []ladder.Observation
	marks               []marks
	// losses holds what each fault does to the present attempt; left is how much of a burst is left, of each fault and,
	// last, of the background.
	losses []Loss
	left   []int
}

func newPlayer(w *world.World, faults []Fault, c Conditions, random *rand.Rand) *player {
	p := &player{world: w, faults: faults, conditions: c, random: random, background: BackgroundShare * c.Noise,
		noPod: map[int]bool{}, noHost: map[int]bool{}, gone: map[int]bool{}, suspect: map[string]bool{},
		marks: make([]marks, len(faults)), losses: make([]Loss, len(faults)), left: make([]int, len(faults)+1)}
	for i := range w.Nodes {
		// All are drawn whatever the shares are, so that one condition does not change another's draws.
		pod, host, gone := random.Float64(), random.Float64(), random.Float64()
		setIf(p.noPod, i, pod < c.LostReports)
		setIf(p.noHost, i, host < c.LostReports)
		setIf(p.gone, i, gone < c.Churn)
	}
	for _, f := range faults {
		for _, n := range f.NoPodReport {
			p.noPod[n] = true
		}
		for _, n := range f.NoHostReport {
			p.noHost[n] = true
		}
		for _, n := range f.Suspect {
			p.suspect[w.Nodes[n]] = true
		}
	}
	count := 0
	w.EachOf(0, w.Offsets(0), func(*world.Probe) { count++ })
	p.observations = make([]ladder.Observation, 0, count*len(w.Nodes))
	return p
}

func setIf(set map[int]bool, i int, is bool) {
	if is {
		set[i] = true
	}
}

// input returns what the inference gets.
func (p *player) input() infer.Input {
	in := infer.Input{Zones: make(map[string]string, len(p.world.Nodes)), Suspect: maps.Clone(p.suspect),
		Observations: p.observations}
	for i, name := range p.world.Nodes {
		zone := p.world.Zone[i]
		if p.random.Float64() < p.conditions.WrongZones && p.world.Zones > 1 {
			zone = (zone + 1 + p.random.IntN(p.world.Zones-1)) % p.world.Zones
		}
		in.Zones[name] = p.world.ZoneNames[zone]
	}
	if !p.conditions.BackgroundUnknown {
		in.Background = p.background * math.Exp(0.2*p.random.NormFloat64())
	}
	return in
}

// send adds the observation of a probe, unless nobody reports it or it is of a node that was deleted meanwhile.
func (p *player) send(probe *world.Probe) {
	missing := p.noPod
	if probe.FromHost() {
		missing = p.noHost
	}
	if missing[probe.From] || p.gone[probe.From] || p.gone[probe.To] || p.gone[probe.At] {
		return
	}
	o := p.world.Bare(probe)
	o.Sent = uint64(probe.Sent) // #nosec G115 -- a small count
	if !probe.Counted {
		o.Passes = world.Passes
	}
	if !probe.Chosen() && !p.touched(probe) && !p.noisy(probe) {
		o.Answered, o.Mean, o.Max = o.Sent, usual, slowest
		p.observations = append(p.observations, o)
		return
	}
	p.each(probe, &o)
	p.observations = append(p.observations, o)
}

func (p *player) touched(probe *world.Probe) bool {
	for i := range p.faults {
		if p.faults[i].Touches(probe) {
			return true
		}
	}
	return false
}

// noisy reports whether the background may have taken any of the attempts; those of a probe that it does not take any
// of need not be played one by one.
func (p *player) noisy(probe *world.Probe) bool {
	events := float64(probe.Sent) * p.background / float64(p.conditions.Burst)
	return !probe.Local() && p.random.Float64() < events
}

// each plays the attempts one by one. A probe that only background can touch has lost one attempt at least already.
func (p *player) each(probe *world.Probe, o *ladder.Observation) {
	clear(p.left)
	forced := world.None
	if !probe.Chosen() && !p.touched(probe) {
		forced = p.random.IntN(probe.Sent)
	}
	a := Attempt{Probe: probe, Endpoint: world.None}
	sum, failedIn := time.Duration(0), world.None
	for i := range probe.Sent {
		a.Number, a.Pass = i, i*world.Passes/probe.Sent
		p.choose(&a)
		inBurst := forced != world.None && i >= forced && i < forced+p.conditions.Burst
		r := p.attempt(&a, inBurst, forced != world.None)
		if r.failed != "" {
			if o.Failures == nil {
				o.Failures = make(map[ladder.Failure]uint64, 1)
			}
			o.Failures[r.failed]++
			if !probe.Counted && failedIn != a.Pass {
				o.FailedPasses, failedIn = o.FailedPasses+1, a.Pass
			}
			continue
		}
		o.Answered++
		took := usual + r.slow
		sum, o.Max = sum+took, max(o.Max, took, slowest)
		if r.retried {
			o.Retried++
		}
		if a.Endpoint != world.None && probe.Rung != ladder.DNSService {
			if o.Peers == nil {
				o.Peers = make(map[string]uint64, probe.Sent)
			}
			o.Peers[p.world.Nodes[a.Endpoint]]++
		}
	}
	if o.Answered > 0 {
		o.Mean = sum / time.Duration(o.Answered) // #nosec G115 -- a small count
	}
	if probe.Large && o.Answered == 0 && o.Failures[ladder.NoAnswer] > 0 {
		o.PathMTU = 1400
	}
}

// choose lets the cluster choose who answers.
func (p *player) choose(a *Attempt) {
	if !a.Chosen() {
		return
	}
	if a.Rung == ladder.DNSService {
		a.Endpoint = p.random.IntN(len(p.world.DNS))
		return
	}
	a.Endpoint = p.random.IntN(len(p.world.Nodes))
}

// result is what became of an attempt.
type result struct {
	failed  ladder.Failure
	retried bool
	slow    time.Duration
}

// attempt plays one attempt. With forced the background takes it; with decided it takes no other one.
func (p *player) attempt(a *Attempt, forced, decided bool) result {
	var r result
	by, several := world.None, false
	for i := range p.faults {
		l := p.faults[i].Lose(a)
		p.losses[i] = l
		if p.hit(i, l.Share) {
			by, several = i, by != world.None
			if r.failed == "" || reach(l.How) < reach(r.failed) {
				r.failed = l.How
			}
		}
		r.retried = r.retried || l.Retried > 0 && p.random.Float64() < l.Retried
		r.slow += l.Slow
	}
	p.mark(a, by, several)
	if r.failed != "" {
		return r
	}
	if a.Rung != ladder.DNSService && a.Endpoint != world.None && p.gone[a.Endpoint] && p.random.Float64() < lag {
		r.failed = ladder.Refused
		return r
	}
	if forced || !decided && !a.Local() && p.hit(len(p.faults), p.background) {
		p.noise(a, &r)
	}
	return r
}

// reach is how far an attempt comes that fails in this way. Of several faults that take it the asker sees the one that
// it meets first: what is lost on the way reaches no process that would answer badly.
func reach(how ladder.Failure) int {
	switch how {
	case ladder.NotPermitted, ladder.TooLarge:
		return 0
	case ladder.NoAnswer, ladder.Unreachable:
		return 1
	case ladder.Refused, ladder.Reset:
		return 2
	}
	return 3
}

// noise is what the background does to an attempt that it takes.
func (p *player) noise(a *Attempt, r *result) {
	connects := a.Method == ladder.HTTP || a.Method == ladder.TCP
	if connects && p.conditions.GentleTCP && p.random.Float64() >= gentle {
		r.retried = true
		return
	}
	r.failed = ladder.NoAnswer
}

// hit draws whether a fault takes an attempt. Partial loss comes in bursts if the conditions say so.
func (p *player) hit(i int, share float64) bool {
	switch {
	case share <= 0:
		return false
	case share >= 1:
		return true
	case p.left[i] > 0:
		p.left[i]--
		return true
	}
	if p.random.Float64() >= share/float64(p.conditions.Burst) {
		return false
	}
	p.left[i] = p.conditions.Burst - 1
	return true
}
