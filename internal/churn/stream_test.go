package churn_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// A path ends with the last attempt of its agent. Ten requests a second came due for 100 s, and the last attempt timed
// out 100 s after that.
func TestTheRateIsThatOfTheLoad(t *testing.T) {
	load := func(given, every int) report.RequestBudget { return report.RequestBudget{Granted: given, Every: every} }
	expected := func(pod string, requests, kept uint64) []report.Expected {
		return []report.Expected{{Pod: pod, Requests: requests, Persistent: kept}}
	}
	for _, c := range []struct {
		name     string
		load     report.RequestBudget
		expected []report.Expected
		// counted and kept are how many of each stream fail while one of four pods is away for 10 s.
		counted, kept uint64
		want          uint64
	}{
		{"of an unknown load it is what came due until the end", report.RequestBudget{}, nil, 22, 0, 22},
		{"of an unknown load it may be too low", report.RequestBudget{}, nil, 23, 0, 0},
		{"ten a second: as many as a quarter explains", load(10, 1), nil, 38, 0, 38},
		{"ten a second: one more", load(10, 1), nil, 39, 0, 0},
		{"ten every second second are five a second", load(10, 2), nil, 23, 0, 0},
		{"a tenth over persistent connections: as many as a quarter explains", load(10, 0), expected("x", 1000, 100), 0,
			8,
			8},
		{"a tenth over persistent connections: one more", load(10, 0), expected("x", 1000, 100), 0, 9, 0},
		{"persistent connections of another agent", load(10, 0), expected("y", 1000, 100), 0, 5, 5},
		{"persistent connections of another agent: one more", load(10, 0), expected("y", 1000, 100), 0, 6, 0},
		{"persistent connections of an agent without requests", load(10, 0), expected("x", 0, 100), 0, 6, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four([3]float64{50, 59.9, float64(c.counted)})
			if c.counted == 0 {
				p.Failures = nil
			}
			p.Ended = at(200)
			if c.kept > 0 {
				kept := measured(target.Target{}, failure(probe.Refused, [3]float64{50, 59.9, float64(c.kept)}))
				kept.Scheduled, kept.Ended = 100, at(200)
				p.Persistent = &kept
			}
			round := roundOf("x", p, behindFour(), deletedAt("b", 50))
			round.Budget, round.Expected = c.load, c.expected
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// The pod at the other end of a connection goes at 50 s. The next request over the connection is due up to 20 s later.
func TestOldConnectionsFailForWhatHappenedSinceTheyWereUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		reused uint64
		second float64
		want   uint64
	}{
		{"a new connection while the pod is away", 0, 61, 1},
		{"a new connection after that", 0, 61.1, 0},
		{"an old connection that was used before while the pod was away", 1, 81, 1},
		{"an old connection that was used after that as well", 1, 81.1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four()
			kept := measured(target.Target{}, failure(probe.Timeout, [3]float64{c.second, c.second, 1}))
			kept.Scheduled, kept.Sent, kept.OK, kept.Reused = 5, 5, 4, c.reused
			p.Persistent = &kept
			if got := excusedRequests(roundOf("x", p, behindFour(), deletedAt("b", 50))); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// If an agent's start is known well, a change has the benefit of the doubt.
func TestDoubtAboutTheStartOfAnAgent(t *testing.T) {
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Pod: "b", Answer: target.OnePod}
	for _, c := range []struct {
		name        string
		unsure      time.Duration
		first, last float64
		want        uint64
	}{
		{"known, and within", 0, 49, 62, 1},
		{"known, and before the change", 0, 48.9, 62, 0},
		{"known, and too late", 0, 49, 62.1, 0},
		{"unsure, and perhaps within", 2500 * time.Millisecond, 46.5, 59.5, 1},
		{"unsure, and before the change in any case", 2500 * time.Millisecond, 46.4, 59.5, 0},
		{"unsure, and before the change or too late", 2500 * time.Millisecond, 46.5, 59.6, 0},
		{"more unsure, and perhaps before the change", 2501 * time.Millisecond, 48.9, 59, 0},
		{"more unsure, and after the change in any case", 2501 * time.Millisecond, 49, 59.499, 1},
		{"more unsure, and perhaps too late", 2501 * time.Millisecond, 49, 59.5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(endpoint, report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 1,
				Spans: []report.Span{{First: time.Duration(c.first * 1e9), Last: time.Duration(c.last * 1e9),
					Count: 1}}})
			round := roundOf("x", p, nil, restartedAt("b", 50, 52))
			round.Agents[0].Latest = at(0).Add(c.unsure)
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// Timeouts of an agent that is short of CPU disprove no change, and no change excuses them.
func TestTimeoutsOfAnAgentThatIsStoppedDisproveNothing(t *testing.T) {
	for _, c := range []struct {
		name             string
		stops            uint64
		refused, timeout float64
		want             uint64
	}{
		{"all that fails is explained", 2, 20, 18, 38},
		{"more timed out than is explained, and the agent was stopped", 2, 20, 80, 20},
		{"more timed out than is explained, and the agent was stopped once", 1, 20, 80, 0},
		{"more was refused than is explained", 2, 40, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(target.Target{ID: "service", Kind: target.ClusterIP},
				failure(probe.Refused, [3]float64{50, 59.9, c.refused}),
				failure(probe.Timeout, [3]float64{50, 59.9, c.timeout}))
			round := roundOf("x", p, behindFour(), deletedAt("b", 50))
			round.Agents[0].Observer.ThrottledPeriods = c.stops
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// Requests that fail one after the other are spans of their own, as far apart as requests are due. From the end of the
// first of two back to the beginning of the second there is no time, whatever the share.
func TestRequestsThatFailOneAfterTheOtherAreExplained(t *testing.T) {
	for pods := 2; pods <= 12; pods++ {
		for _, rate := range []int{1, 3, 7, 10, 16} {
			var names []string
			for i := range pods {
				names = append(names, string(rune('a'+i)))
			}
			p := measured(target.Target{ID: "service", Kind: target.ClusterIP}, failure(probe.Refused))
			for i := range 2 {
				due := 50*time.Second + time.Duration(i)*time.Second/time.Duration(rate)
				p.Failures[0].Spans = append(p.Failures[0].Spans, report.Span{First: due, Last: due, Count: 1})
			}
			p.Failures[0].Count = 2
			round := roundOf("x", p, []report.BackendSet{{Targets: []string{"service"}, Pods: names}},
				deletedAt("b", 50))
			round.Budget = report.RequestBudget{Granted: rate}
			if got := excusedRequests(round); got != 2 {
				t.Errorf("%d pods, %d requests a second: %d of 2 requests are void", pods, rate, got)
			}
		}
	}
}
