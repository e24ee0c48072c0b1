package oracle

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// dice draws scenarios.
type dice struct{ *rand.Rand }

// chance reports true in the given share of cases.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// between draws a time.
func (d dice) between(from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return from + time.Duration(d.Int64N(int64(to-from)))
}

// upTo draws a number from the first to the last.
func (d dice) upTo(first, last int) int { return first + d.IntN(last-first+1) }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// Draw makes the random scenario of the number.
func Draw(seed, number uint64) Scenario {
	d := dice{rand.New(rand.NewPCG(seed, number))} // #nosec G404 -- scenarios must be repeatable
	s := Scenario{Seed: seed, Number: number}
	d.cluster(&s)
	d.targets(&s)
	// What happens: nothing, or one or more of faults, changes and limits.
	x := d.Float64()
	faults := x >= 0.15 && (x < 0.40 || (x >= 0.75 && x < 0.95))
	changes := x >= 0.40 && (x < 0.65 || (x >= 0.75 && x < 0.92) || x >= 0.95)
	limits := (x >= 0.65 && x < 0.75) || x >= 0.92
	d.load(&s, changes)
	d.starts(&s)
	if changes {
		d.changes(&s)
	}
	if faults {
		for range pick(d, 1, 1, 1, 1, 2) {
			d.fault(&s)
		}
	}
	if limits {
		d.limits(&s)
	}
	return s
}

// cluster draws nodes, in most cases few.
func (d dice) cluster(s *Scenario) {
	n := d.upTo(1, 6)
	switch x := d.Float64(); {
	case x > 0.998:
		n = d.upTo(26, 60)
	case x > 0.985:
		n = d.upTo(13, 25)
	case x > 0.88:
		n = d.upTo(7, 12)
	}
	zones, shared := d.upTo(1, 3), d.chance(0.1)
	for i := range n {
		node := Node{Zone: i % zones, ProxyLag: d.between(0, time.Second)}
		if i > 0 && d.chance(0.02) {
			node.OutsideWhy = "its node selector leaves it out"
		}
		node.Cordoned = d.chance(0.03)
		if node.OutsideWhy == "" && i > 0 && shared && s.Nodes[i-1].hasAgent() && d.chance(0.5) {
			node.AgentOn = cmp.Or(s.Nodes[i-1].AgentOn, i)
		}
		s.Nodes = append(s.Nodes, node)
	}
	s.Families = pick(d, []topology.Family{topology.IPv4}, []topology.Family{topology.IPv4},
		[]topology.Family{topology.IPv4},
		[]topology.Family{topology.IPv6}, []topology.Family{topology.IPv4, topology.IPv6})
	if n > 12 {
		s.Families = s.Families[:1]
	}
}

// targets draws the kinds that are probed and the backends behind them.
func (d dice) targets(s *Scenario) {
	for _, k := range [...]struct {
		kind target.Kind
		p    float64
	}{{target.Endpoint, 0.8}, {target.ClusterIP, 0.75}, {target.NodePort, 0.4}, {target.LoadBalancer, 0.25},
		{target.Ingress, 0.25}, {target.SecondInterface, 0.08}} {
		if p := k.p; d.chance(p) && (len(s.Nodes) <= 6 || len(s.Kinds) < 2) {
			s.Kinds = append(s.Kinds, k.kind)
		}
	}
	if len(s.Kinds) == 0 {
		s.Kinds = []target.Kind{target.ClusterIP}
	}
	if d.chance(0.01) {
		defer func() { s.Service.Spread, s.Service.SpreadIsFault = pick(d, OneOnly, SameNode), true }()
	}
	s.Service = Service{InternalLocal: d.chance(0.15), ExternalLocal: d.chance(0.2),
		Insiders: pick(d, Everywhere, OnOwnNode, Nowhere)}
	if d.chance(0.2) {
		s.Service.Spread = pick(d, SameZone, SameNode, Sticky)
	}
	proxy := func() Proxy {
		return Proxy{Sticky: d.chance(0.4), AnswersForPods: d.chance(0.5),
			IgnoresEndpoints: d.between(0, 3*time.Second)}
	}
	s.Balancer, s.Ingress = proxy(), proxy()
	s.Balancer.ShortCircuit = d.chance(0.3)
	s.Ingress.AnswersForPods = true
}

// load draws rate and length, so that the whole round has a bounded number of requests.
func (d dice) load(s *Scenario, long bool) {
	paths := 0
	for _, kind := range s.Kinds {
		each := 1
		if kind == target.Endpoint || kind == target.NodePort || kind == target.SecondInterface {
			each = len(s.Nodes)
		}
		paths += each * len(s.Nodes) * len(s.Families)
	}
	seconds := pick(d, 2, 5, 10, 20, 30)
	if long {
		seconds = pick(d, 15, 30, 30, 45, 60, 90, 120)
	}
	budget := pick(d, 600, 1500, 3000, 6000)
	requests := min(max(budget/paths, 5), 400)
	s.Load = mesh.Load{PerSecond: 1, Duration: time.Duration(seconds) * time.Second,
		Timeout:    pick(d, time.Second, 2*time.Second, 5*time.Second),
		Connection: pick(d, mesh.Both, mesh.Both, mesh.NewConnection, mesh.NewConnection, mesh.KeepAlive)}
	if requests >= seconds {
		s.Load.PerSecond = requests / seconds
	} else {
		s.Load.Every = min((seconds+requests-1)/requests, seconds)
	}
	s.Expect.SuccessRate = pick(d, 1, 1, 1, 1, 0.99, 0.95, 0.9, 0.5)
	s.Expect.MeanDelay = pick(d, 0, 100*time.Millisecond, 500*time.Millisecond, 2*time.Second)
}

// starts draws when agents begin, and how wrong their clocks are.
func (d dice) starts(s *Scenario) {
	late := d.chance(0.15)
	for range s.Nodes {
		a := Start{Asked: d.between(0, 50*time.Millisecond)}
		a.At = a.Asked + d.between(time.Millisecond, 40*time.Millisecond)
		if late && d.chance(0.4) {
			a.At = a.Asked + d.between(time.Second, 12*time.Second)
			if d.chance(0.5) {
				// The controller was late, not the way to the agent.
				a.Asked = a.At - d.between(time.Millisecond, 30*time.Millisecond)
			}
		}
		a.Known = a.At + d.between(time.Millisecond, 50*time.Millisecond)
		switch x := d.Float64(); {
		case x > 0.93:
			a.Clock = pick(d, -1, time.Duration(1)) * d.between(time.Minute, time.Hour)
		case x > 0.85:
			a.Clock = pick(d, -1, time.Duration(1)) * d.between(2*time.Second, time.Minute)
		default:
			a.Clock = d.between(-300*time.Millisecond, 300*time.Millisecond)
		}
		s.Starts = append(s.Starts, a)
	}
}

// limits draws the resources that one or two agents lack.
func (d dice) limits(s *Scenario) {
	for range pick(d, 1, 1, 2) {
		l := Limit{Node: d.IntN(len(s.Nodes)), To: forever}
		if !s.Nodes[l.Node].hasAgent() ||
			slices.ContainsFunc(s.Limits, func(o Limit) bool { return o.Node == l.Node }) {
			continue
		}
		switch d.IntN(6) {
		case 0: // throttled, as asker and as answerer
			l.Throttled = 0.1 + 0.8*d.Float64()
			l.Late, l.SlowAnswers = d.Float64(), d.Float64()/2
			l.Missed, l.Expired, l.LostAnswers = 0.1*d.Float64(), 0.3*d.Float64(), 0.3*d.Float64()
		case 1: // throttled so little that it does no harm
			l.Throttled, l.Late = 0.02, 0
		case 2:
			l.Unsent = d.Float64()
		case 3:
			l.Missed = d.Float64()
		case 4:
			l.Late = 0.05 + d.Float64()/2
		case 5:
			l.Stopped, l.To = true, s.Starts[l.Node].At+d.between(time.Second, s.Load.Duration)
		}
		s.Limits = append(s.Limits, l)
	}
}
