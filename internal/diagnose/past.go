package diagnose

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// Past is what earlier rounds of the same task were like where no fault touched them: one list for each round, in any
// order. No rounds are a task without history.
type Past [][]report.Usual

const (
	// pastLosses is from how many past rounds the background loss is estimated at least, leastProbes from how many
	// probes, leastLost from how many that were lost. With fewer, the least that internal/infer assumes stays.
	pastLosses  = 3
	leastProbes = 500
	leastLost   = 5
	// leastBackground and mostBackground bound the estimate.
	leastBackground = 1e-4
	mostBackground  = naturalLoss
	// sure is the quantile of the normal distribution for the upper limit of the estimate: one-sided, 95 %.
	sure = 1.645
)

// background returns the share of probes that is lost between nodes without a fault, 1e-4 to 0.02; 0 where too little
// is known. It is the upper 95 % limit (Wilson's) of what was lost of all that was sent in past rounds, without the
// round that lost most, so that one bad moment does not count. Datagrams and connections are counted apart, because a
// connection survives the loss of a packet: the larger share of both is taken.
func (p Past) background() float64 {
	datagrams := p.lossOf(func(m ladder.Method) bool { return m != ladder.TCP && m != ladder.HTTP })
	connections := p.lossOf(func(m ladder.Method) bool { return m == ladder.TCP || m == ladder.HTTP })
	return max(datagrams, connections)
}

// lossOf returns the share of the probes of some methods that is lost; 0 where too little is known.
func (p Past) lossOf(of func(ladder.Method) bool) float64 {
	type round struct{ sent, lost uint64 }
	var rounds []round
	for _, rows := range p {
		var r round
		for _, u := range rows {
			if betweenNodes(u.Rung) && of(u.Method) {
				r.sent, r.lost = r.sent+u.Sent, r.lost+u.Lost
			}
		}
		if r.sent > 0 {
			rounds = append(rounds, r)
		}
	}
	if len(rounds) < pastLosses {
		return 0
	}
	share := func(r round) float64 { return float64(r.lost) / float64(r.sent) }
	worst := 0
	for i, r := range rounds {
		if share(r) > share(rounds[worst]) {
			worst = i
		}
	}
	var all round
	for _, r := range slices.Delete(rounds, worst, worst+1) {
		all.sent, all.lost = all.sent+r.sent, all.lost+r.lost
	}
	if all.sent < leastProbes || all.lost < leastLost {
		return 0
	}
	return min(max(upperLimit(all.lost, all.sent), leastBackground), mostBackground)
}

// upperLimit returns the upper limit of a share of which a sample is known.
func upperLimit(lost, sent uint64) float64 {
	n, z := float64(sent), float64(sure)
	share := float64(lost) / n
	return (share + z*z/(2*n) + z*math.Sqrt(share*(1-share)/n+z*z/(4*n*n))) / (1 + z*z/n)
}

const (
	// pastTimes is in how many past rounds a class of paths must have been seen to be compared with.
	pastTimes = 5
	// pastFactor, pastSpreads and pastMargin are how far above the usual time a path must be to be slow.
	pastFactor  = 3
	pastSpreads = 8
	pastMargin  = 10 * time.Millisecond
	// selfMargin takes the place of both for the agents' own address, where no network is on the way.
	selfMargin = time.Millisecond
)

// baseline is how long the paths of one class take by past rounds.
type baseline struct {
	rounds         int
	median, spread time.Duration
}

// slow is the time above which a path is slow: median + the larger of 10 ms and 8 x spread, and at least 3 x median.
func (b baseline) slow() time.Duration {
	return max(b.median+max(pastMargin, pastSpreads*b.spread), pastFactor*b.median)
}

// times returns how long the paths of each class take by past rounds: the median of the rounds' medians, and as spread
// the larger of the median spread within a round and the spread between rounds. Classes of fewer than five rounds are
// left out.
func (p Past) times() map[class]baseline {
	medians, spreads := map[class][]time.Duration{}, map[class][]time.Duration{}
	for _, rows := range p {
		for _, u := range rows {
			if u.Median > 0 {
				c := class{u.Rung, u.Family, u.Method, u.Large, u.Counted}
				medians[c], spreads[c] = append(medians[c], u.Median), append(spreads[c], u.Spread)
			}
		}
	}
	all := map[class]baseline{}
	for c, of := range medians {
		if len(of) >= pastTimes {
			middle, between := spread(of)
			all[c] = baseline{len(of), middle, max(median(spreads[c]), between)}
		}
	}
	return all
}

// busy returns the nodes whose agents take far longer than in past rounds to answer themselves: the machine is the
// reason, not the network. Where that is more than half of the nodes, it is all of them: agents may share a machine.
func busyAgents(seen []ladder.Observation, usual map[class]baseline) (busy map[string]bool, all bool) {
	asked := map[string]bool{}
	busy = map[string]bool{}
	for i := range seen {
		o := &seen[i]
		b, ok := usual[classOf(o)]
		if o.Rung != ladder.Self || o.Answered == 0 || !ok {
			continue
		}
		asked[o.From] = true
		if timeOf(o) > pastFactor*b.median+selfMargin {
			busy[o.From] = true
		}
	}
	return busy, 2*len(busy) > len(asked)
}
