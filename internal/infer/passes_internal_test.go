package infer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// some returns observations of all kinds between a few nodes, a tenth of them with failures.
func some(random *rand.Rand, n int) []ladder.Observation {
	node := func() string { return fmt.Sprintf("n%d", random.IntN(12)) }
	rungs := []ladder.Rung{ladder.Self, ladder.HostToOwnPod, ladder.PodToOwnHost, ladder.HostToHost, ladder.PodToPod,
		ladder.HostToPod, ladder.PodToHost, ladder.SecondInterface, ladder.DNSPod}
	methods := []ladder.Method{ladder.UDP, ladder.TCP, ladder.HTTP, ladder.ICMP}
	families := []topology.Family{topology.IPv4, topology.IPv6}
	var all []ladder.Observation
	for range n {
		o := ladder.Observation{Rung: rungs[random.IntN(len(rungs))], From: node(), To: node(),
			Method: methods[random.IntN(len(methods))], Family: families[random.IntN(2)], Large: random.IntN(3) == 0}
		switch o.Rung {
		case ladder.Self, ladder.HostToOwnPod, ladder.PodToOwnHost:
			o.To = o.From
		default:
			for o.To == o.From {
				o.To = node()
			}
		}
		o.Sent = uint64(1 + random.IntN(9))
		if o.Answered = o.Sent; random.IntN(10) == 0 {
			o.Answered, o.Failures = 0, map[ladder.Failure]uint64{ladder.NoAnswer: o.Sent}
		}
		all = append(all, o)
	}
	return all
}

func TestWhatIsCountedByNodeIsWhatIsCountedOneByOne(t *testing.T) {
	random, zones := rand.New(rand.NewPCG(3, 4)), map[string]string{}
	for i := range 12 {
		zones[fmt.Sprintf("n%d", i)] = fmt.Sprintf("z%d", i%3)
	}
	counted := 0
	for round := range 40 {
		all := some(random, 400)
		price := []float64{20, 60, 150}[round%3]
		count := func(byNode bool) *evidence {
			e, between := newEvidence(leastBackground, len(all), 0), map[zoneClass]float64{}
			for i := range all {
				e.addFailures(i, &all[i], crossed(&all[i], zones, nil), anyway{share: leastBackground})
			}
			e.keep(price)
			for i := range all {
				o := &all[i]
				e.follow(o, zones)
				switch {
				case byNode && e.plain(o):
					e.addPlain(o, between)
				default:
					e.addPasses(i, o, crossed(o, zones, nil))
				}
			}
			e.closePlaces()
			e.closeZones(between)
			return e
		}
		want, got := count(false), count(true)
		for i, c := range want.components {
			if !want.kept[i] {
				continue
			}
			counted++
			if diff := cmp.Diff(*want.passed[i], *got.passed[i]); diff != "" {
				t.Fatalf("round %d: %+v (-one by one +by node):\n%s", round, c, diff)
			}
		}
	}
	if counted < 1000 {
		t.Errorf("only %d components were compared", counted)
	}
}
