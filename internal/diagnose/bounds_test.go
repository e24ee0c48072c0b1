package diagnose

import (
	"math"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestUnlikely(t *testing.T) {
	bound := math.Log(chance / tests)
	for _, c := range []struct {
		log         float64
		comparisons int
		want        bool
	}{
		{bound, 1, true},
		{math.Nextafter(bound, 0), 1, false},
		{bound - math.Log(7) - 1e-9, 7, true},
		{bound - math.Log(7) + 1e-9, 7, false},
	} {
		if got := unlikely(c.log, c.comparisons); got != c.want {
			t.Errorf("e^%v after %d comparisons: unlikely is %v, want %v", c.log, c.comparisons, got, c.want)
		}
	}
}

// TestLogarithms compares the bounds with what they are for small numbers.
func TestLogarithms(t *testing.T) {
	for name, c := range map[string]struct{ got, want float64 }{
		"10 connections miss one of 4": {logMissed(10, 4), 10 * math.Log(0.75)},
		"all of 10 events of 1/2":      {logTail(10, 1, 0.5), 10 * math.Log(0.5)},
		"3 of 4 events of 1/2": {logTail(4, 0.75, 0.5),
			-4 * (0.75*math.Log(1.5) + 0.25*math.Log(0.5))},
		"as many as expected":      {logTail(4, 0.5, 0.5), 0},
		"fewer than expected":      {logTail(4, 0.25, 0.5), 0},
		"none of 10 events of 1/4": {logTailBelow(10, 0, 0.25), 10 * math.Log(0.75)},
		"1 of 4 events of 1/2, or fewer": {logTailBelow(4, 0.25, 0.5),
			-4 * (0.75*math.Log(1.5) + 0.25*math.Log(0.5))},
		"more than expected are no few":        {logTailBelow(4, 0.75, 0.5), 0},
		"2 of 5":                               {logChoose(5, 2), math.Log(10)},
		"all of 5":                             {logChoose(5, 5), 0},
		"no connection meets nobody":           {expectedDistinct(0, 4), 0},
		"one connection meets one":             {expectedDistinct(1, 4), 1},
		"two connections meet 1 3/4 of 4":      {expectedDistinct(2, 4), 1.75},
		"a hundred connections meet 2":         {expectedDistinct(100, 2), 2},
		"an event without probability happens": {logTail(3, 1, 0), math.Inf(-1)},
		"a certain event does not happen":      {logTailBelow(3, 0, 1), math.Inf(-1)},
		"events without probability stay away": {logTail(3, 0, 0), 0},
		"4 of 4 requests within 1 of 2": {(&podCounts{answers: make([]uint64, 2), n: 4}).logWithin(1),
			4 * math.Log(0.5)},
		"2 of 4 requests within 1 of 2, 2 lost":  {(&podCounts{answers: make([]uint64, 2), n: 2, lost: 2}).logWithin(1), 0},
		"10 requests to 4 pods, dealt in turn":   {(&podCounts{answers: make([]uint64, 4), n: 10}).leastTurns(), 2},
		"3 requests to 4 pods, dealt in turn":    {(&podCounts{answers: make([]uint64, 4), n: 3}).leastTurns(), 0},
		"12 requests to 4 pods, dealt in turn":   {(&podCounts{answers: make([]uint64, 4), n: 12}).leastTurns(), 3},
		"repetitions of 4 requests to 2 pods":    {pattern4(t).repeats, 2},
		"what chance would have of repetitions ": {pattern4(t).expectedRepeats, 4 - 1.875},
	} {
		if got := c.got; got != c.want && math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func pattern4(t *testing.T) pattern {
	t.Helper()
	var p pattern
	p.add([]uint64{1, 3}, 4)
	p.add([]uint64{0, 0}, 0)
	return p
}

func TestDealtInTurn(t *testing.T) {
	for _, c := range []struct {
		p    pattern
		want bool
	}{
		{pattern{repeats: 0, expectedRepeats: 0}, false},
		{pattern{repeats: 0, expectedRepeats: 1}, true},
		{pattern{repeats: 24.9, expectedRepeats: 100}, true},
		{pattern{repeats: 25, expectedRepeats: 100}, false},
	} {
		if got := c.p.dealtInTurn(); got != c.want {
			t.Errorf("%+v: dealt is %v, want %v", c.p, got, c.want)
		}
	}
}

// TestExplained holds three standard deviations: of 100 requests a quarter is 25, give or take 12.99.
func TestExplained(t *testing.T) {
	for _, c := range []struct {
		lost, n uint64
		share   float64
		want    bool
	}{
		{0, 100, 0.25, false}, {11, 100, 0.25, false}, {12, 100, 0.25, false}, {13, 100, 0.25, true},
		{25, 100, 0.25, true},
		{37, 100, 0.25, true}, {38, 100, 0.25, false}, {0, 4, 0.01, false}, {1, 4, 0.25, true},
		{110, 335, 0.25, false}, {107, 335, 0.25, true}, {108, 335, 0.25, false}, {59, 335, 0.25, false},
		{60, 335, 0.25, true},
		{100, 100, 1, true}, {99, 100, 1, false},
	} {
		if got := explained(c.lost, c.n, c.share); got != c.want {
			t.Errorf("%d of %d lost where %v of the turns are silent: explained is %v, want %v", c.lost, c.n, c.share,
				got,
				c.want)
		}
	}
}

func TestFew(t *testing.T) {
	met := func(counts ...uint64) *podCounts {
		a := &podCounts{answers: counts}
		for _, n := range counts {
			a.n += n
		}
		return a
	}
	lost := func(a *podCounts, n uint64) *podCounts { a.lost = n; return a }
	// 3 (1/3)^n <= 0.00025 from n = 9 on.
	for _, c := range []struct {
		name string
		*podCounts
		comparisons int
		want        bool
	}{
		{"one of three, one answer too few", met(8, 0, 0), 1, false},
		{"one of three", met(9, 0, 0), 1, true},
		{"one of three, compared twice", met(9, 0, 0), 2, false},
		{"one of three, compared twice, with one answer more", met(10, 0, 0), 2, true},
		{"two of three are no few", met(50, 50, 0), 1, false},
		{"two of four are no few", met(50, 50, 0, 0), 1, false},
		{"two of five", met(50, 50, 0, 0, 0), 1, true},
		{"nobody", met(0, 0, 0), 1, false},
		{"all others are lost", lost(met(50, 0, 0), 100), 1, false},
		{"a little is lost", lost(met(50, 0, 0), 5), 1, true},
	} {
		if got := c.leadsToFew(c.comparisons); got != c.want {
			t.Errorf("%s: few is %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		plural(0, "pod"): "0 pods", plural(1, "pod"): "1 pod", plural(2, "address"): "2 addresses",
		plural(uint64(1), "address"): "1 address",
		firstNames(nil):              "", firstNames([]string{"a", "b", "c"}): "a, b, c",
		firstNames([]string{"a", "b", "c", "d"}): "a, b, c and 1 more",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestLost holds which failures may have been a silent pod's.
func TestLost(t *testing.T) {
	silent := []probe.Outcome{probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer}
	for outcome := probe.Timeout; outcome < probe.Outcomes; outcome++ {
		for phase := probe.NoPhase; phase < probe.Phases; phase++ {
			for _, kind := range []target.Kind{target.ClusterIP, target.Ingress} {
				var want uint64
				early := phase == probe.Connect || phase == probe.FirstByte
				if early && (slices.Contains(silent, outcome) || kind == target.Ingress && outcome == probe.BadStatus) {
					want = 7
				}
				got := lost(&report.Path{Target: target.Target{Kind: kind},
					Failures: []report.Failure{{Outcome: probe.DNSFailed, Phase: phase, Count: 5},
						{Outcome: outcome, Phase: phase, Count: 10, Excused: 3},
						{Outcome: outcome, Phase: phase, Count: 2, Excused: 4}}})
				if got != want {
					t.Errorf("%s: outcome %d in phase %d: %d of 12 are lost, want %d", kind, outcome, phase, got, want)
				}
			}
		}
	}
}
