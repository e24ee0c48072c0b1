package diagnose

import (
	"math"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// rounds is past rounds of one row each, with these counts.
func rounds(method ladder.Method, rung ladder.Rung, sent uint64, lost ...uint64) Past {
	var p Past
	for _, n := range lost {
		p = append(p, []report.Usual{{Rung: rung, Method: method, Sent: sent, Lost: n}})
	}
	return p
}

func TestTheBackgroundLossIsWhatPastRoundsLost(t *testing.T) {
	udp := func(sent uint64, lost ...uint64) Past { return rounds(ladder.UDP, ladder.PodToPod, sent, lost...) }
	both := udp(1000, 0, 0, 0)
	for i := range both {
		both[i] = append(both[i], rounds(ladder.HTTP, ladder.HostToHost, 1000, 10)[0]...)
	}
	for _, c := range []struct {
		name string
		past Past
		want float64
	}{
		{"no past", nil, 0},
		{"two rounds are too few", udp(10_000, 100, 100), 0},
		{"fewer than 500 probes", udp(200, 4, 4, 4), 0},
		{"fewer than five lost probes", udp(10_000, 2, 2, 2), 0},
		{"1 % of 2,000 probes: the upper limit is 1.4 %", udp(1000, 10, 10, 10), 0.0144},
		{"the round that lost most does not count", udp(1000, 10, 10, 900), 0.0144},
		{"more probes, less doubt", udp(100_000, 1000, 1000, 1000), 0.0104},
		{"no less than 0.01 %", udp(1_000_000, 10, 10, 10), 1e-4},
		{"no more than 2 %", udp(1000, 500, 500, 500), 0.02},
		{"connections lose more than datagrams", both, 0.0144},
		{"what is lost on the way to a Service is not the network's",
			rounds(ladder.HTTP, ladder.ClusterIP, 1000, 10, 10, 10), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.past.background(); math.Abs(got-c.want) > 5e-5 {
				t.Errorf("background %.5f, want %.5f", got, c.want)
			}
		})
	}
}

func TestAPathIsSlowFarAboveWhatIsUsual(t *testing.T) {
	const ms = time.Millisecond
	// past has rounds with these medians, and the spread within each.
	past := func(within time.Duration, medians ...time.Duration) Past {
		var p Past
		for _, m := range medians {
			p = append(p, []report.Usual{{Rung: ladder.PodToPod, Method: ladder.UDP, Paths: 6, Median: m,
				Spread: within}})
		}
		return p
	}
	for _, c := range []struct {
		name string
		past Past
		want time.Duration
	}{
		{"four rounds are too few", past(0, ms, ms, ms, ms), 0},
		{"10 ms above the median", past(ms/10, ms, ms, ms, ms, ms), 11 * ms},
		{"8 times the spread within rounds", past(2*ms, 4*ms, 4*ms, 4*ms, 4*ms, 4*ms), 20 * ms},
		{"8 times the spread between rounds", past(0, 2*ms, 4*ms, 6*ms, 8*ms, 10*ms), 22 * ms},
		{"3 times the median", past(ms, 20*ms, 20*ms, 20*ms, 20*ms, 20*ms), 60 * ms},
		{"one strange round changes nothing", past(ms/10, ms, ms, time.Second, ms, ms), 11 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, known := c.past.times()[class{rung: ladder.PodToPod, method: ladder.UDP}]
			if known != (c.want > 0) || known && b.slow() != c.want {
				t.Errorf("slow from %v on, known %v; want %v", b.slow(), known, c.want)
			}
		})
	}
}

func TestThePathOfAFewProbesIsTimedWithoutTheSlowest(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		of   ladder.Observation
		want time.Duration
	}{
		{"one of two was late",
			ladder.Observation{Counts: ladder.Counts{Answered: 2, Mean: 51 * ms, Max: 100 * ms}}, 2 * ms},
		{"a single probe", ladder.Observation{Counts: ladder.Counts{Answered: 1, Mean: 5 * ms, Max: 5 * ms}}, 5 * ms},
		{"counted requests have their median", ladder.Observation{Counted: true,
			Counts: ladder.Counts{Answered: 80, Mean: 5 * ms, Max: 900 * ms}}, 5 * ms},
		{"no largest is known", ladder.Observation{Counts: ladder.Counts{Answered: 4, Mean: 5 * ms}}, 5 * ms},
	} {
		if got := timeOf(&c.of); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
