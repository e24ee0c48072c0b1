package packets

import (
	"math/rand/v2"
	"slices"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
)

// Generator draws rows of the table of faults.
type Generator struct{}

// Name is "packets".
func (Generator) Name() string { return "packets" }

// GentleTCP is true: lost segments of connections are sent again.
func (Generator) GentleTCP() bool { return true }

// Draw returns count faults of different rows and places.
func (Generator) Draw(w *world.World, count int, severity round.Severity, random *rand.Rand) []round.Fault {
	var fit []row
	for _, r := range rows() {
		if r.fits(w, severity) {
			fit = append(fit, r)
		}
	}
	var faults []round.Fault
	for len(faults) < count {
		s := newScene(w, severity.Draw(random), random)
		r := fit[random.IntN(len(fit))]
		f := s.fault(r, severity)
		same := func(g round.Fault) bool { return slices.Equal(g.Truth.Accept, f.Truth.Accept) }
		if !slices.ContainsFunc(faults, same) {
			faults = append(faults, f)
		}
	}
	return faults
}

// effect is what a row does to an attempt on one leg.
type effect func(l leg, at *round.Attempt) round.Loss

// row is a row of the table, or several that no probe can tell apart.
type row struct {
	name string
	// hard rows lose all that they affect, gray ones a part by nature; scaled hard ones may also be drawn as gray ones,
	// of which only a share of the packets or one of three passes is affected.
	hard, gray, scaled bool
	// few says that the row takes the requests to one of all backends, and can be seen with few backends alone.
	few bool
	// zones and hosts say that the row needs two zones, or agents in host networks.
	zones, hosts bool
	make         func(s *scene) effect
}

// mostFew is how many nodes there may be for a row that needs few backends.
const mostFew = 10

func (r row) fits(w *world.World, severity round.Severity) bool {
	if r.few && len(w.Nodes) > mostFew || r.zones && w.Zones < 2 || r.hosts && w.WithoutHosts {
		return false
	}
	if severity == round.Hard {
		return r.hard
	}
	return r.gray || r.scaled
}
