package limits_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
)

func TestALoadWithoutADurationCountsAsOneOfASecond(t *testing.T) {
	if got := limits.Sends(mesh.Load{PerSecond: 5, Connection: mesh.Both}, 2); got != 16 {
		t.Errorf("%d requests a second, want 10 and 6 of the persistent streams", got)
	}
}

func TestNoPauseIsLongerThanTheLongest(t *testing.T) {
	const targets = 100
	for _, seconds := range []int{1, 2, 49, 50, 51, 99, 100, 101, 149, 150, 151, 599, 600, 3600, 86_400} {
		for _, limit := range []int{0, 1, 2, 3, 5, 8, 13, 21, 50, 99, 100, 101, 109, 110, 111, 500} {
			l, _ := limits.Highest(mesh.Load{PerSecond: 7, Duration: time.Duration(seconds) * time.Second,
				Connection: mesh.Both}, targets, limit)
			n, every := l.Persistent()
			if every > echo.LongestPause || every <= 0 || time.Duration(n)*every > l.Duration {
				t.Errorf("%d s within %d: %+v has %d requests, one every %v", seconds, limit, l, n, every)
			}
		}
	}
}

// The policy of the chart knows whole rates alone, and computes with three requests as the least: from one request a
// second on, more than three are never the least that counts.
func TestAtWholeRatesThePolicyOfTheChartIsRight(t *testing.T) {
	ceil := func(a, b int) int { return (a + b - 1) / b }
	for _, seconds := range []int{1, 2, 10, 29, 30, 31, 150, 151, 600, 86_400} {
		for _, targets := range []int{1, 2, 7, 10, 99, 5000} {
			l := mesh.Load{PerSecond: 1000, Duration: time.Duration(seconds) * time.Second, Connection: mesh.Both}
			for limit := 1; limit < 30*targets; limit += max(targets/7, 1) {
				fits := min(limit*10/(targets*11), (limit*seconds-targets*3)/(targets*seconds))
				if got, ok := limits.Highest(l, targets, limit); (ok && got.Every == 0) != (fits >= 1) || fits >= 1 &&
					got.PerSecond != fits {
					t.Fatalf("%d targets for %d s within %d: %+v, %t; the policy allows %d", targets, seconds, limit,
						got, ok, fits)
				}
			}
			for _, qps := range []int{1, 2, 3, 9, 10, 11, 1000} {
				l.PerSecond = qps
				sends := max(ceil(targets*qps*11, 10), targets*qps+ceil(targets*3, seconds))
				if got := limits.Sends(l, targets); got != sends {
					t.Fatalf("%d targets for %d s at %d a second get %d, and the policy says %d", targets, seconds, qps,
						got, sends)
				}
			}
		}
	}
}
