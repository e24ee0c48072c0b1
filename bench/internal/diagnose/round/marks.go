package round

import (
	"math"

	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// Enough is how many nats of evidence a fault needs to count as injected: what lost less cannot be told from
// background, or lies behind another fault. A diagnosis has to pay about 18 to 22 for a claim.
const Enough = 30

// tally is what a fault did to a class where no other fault was likely to have done it.
type tally struct{ sent, lost uint64 }

// marks is the trace that one fault left in a round, by classes of traffic that a fault treats alike.
type marks struct{ classes [classes]tally }

// classes is how many there are: UDP, DNS, TCP and HTTP, small or large or counted, in two families.
const classes = 4 * 3 * 2

// class returns the index of the class of a probe.
func class(p *world.Probe) (i int) {
	switch p.Method {
	case ladder.DNS:
		i = 1
	case ladder.TCP:
		i = 2
	case ladder.HTTP:
		i = 3
	default:
	}
	i *= 3
	switch {
	case p.Large:
		i++
	case p.Counted:
		i += 2
	}
	i *= 2
	if p.Family == topology.IPv6 {
		i++
	}
	return i
}

// masking is from which share on another fault hides what a fault does.
const masking = 0.5

// mark notes what the faults did to an attempt, by whom it was lost, and whether by several.
func (p *player) mark(a *Attempt, by int, several bool) {
	for i := range p.losses {
		if p.losses[i].Share <= 0 || p.hidden(i) {
			continue
		}
		t := &p.marks[i].classes[class(a.Probe)]
		t.sent++
		if by == i && !several {
			t.lost++
		}
	}
}

// hidden reports whether another fault is likely to take the attempt too.
func (p *player) hidden(i int) bool {
	for j := range p.losses {
		if j != i && p.losses[j].Share >= masking {
			return true
		}
	}
	return false
}

// lost is how many probes the fault alone lost.
func (m *marks) lost() (sum uint64) {
	for _, t := range m.classes {
		sum += t.lost
	}
	return sum
}

// evidence is by how many nats the loss of the fault's own traffic is likelier with the fault than with background
// alone.
func (m *marks) evidence(background float64) (nats float64) {
	for _, t := range m.classes {
		if t.lost == 0 {
			continue
		}
		k, rest := float64(t.lost), float64(t.sent-t.lost)
		q := k / (k + rest)
		if q <= background {
			continue
		}
		gain := k * math.Log(q/background)
		if rest > 0 {
			gain += rest * (math.Log1p(-q) - math.Log1p(-background))
		}
		nats += max(0, gain)
	}
	return nats
}

// Seen reports whether every fault of the trial left evidence enough; with faint, whether each lost a probe at all.
func (t *Trial) Seen(faint bool) bool {
	for i := range t.Faults {
		if t.Lost[i] == 0 || !faint && t.Evidence[i] < Enough {
			return false
		}
	}
	return true
}
