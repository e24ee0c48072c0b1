package mesh_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
)

func TestPersistentStreams(t *testing.T) {
	for _, c := range []struct {
		name     string
		load     mesh.Load
		requests uint64
		every    time.Duration
	}{
		{"a tenth of the counted requests", mesh.Load{PerSecond: 10, Duration: 100 * time.Second}, 100, time.Second},
		{"a tenth is rounded down", mesh.Load{PerSecond: 1, Duration: 49 * time.Second}, 4, 49 * time.Second / 4},
		{"three at least", mesh.Load{PerSecond: 1, Duration: 39 * time.Second}, 3, 13 * time.Second},
		{"three in a second", mesh.Load{PerSecond: 1, Duration: time.Second}, 3, time.Second / 3},
		{"three are enough up to 150 seconds", mesh.Load{PerSecond: 1, Every: 150, Duration: 150 * time.Second}, 3,
			50 * time.Second},
		{"four are needed from 151 seconds on", mesh.Load{PerSecond: 1, Every: 151, Duration: 151 * time.Second}, 4,
			151 * time.Second / 4},
		{"one request in an hour has one every 50 seconds beside it", mesh.Load{PerSecond: 1, Every: 3600,
			Duration: time.Hour}, 72, 50 * time.Second},
		{"a tenth of a request a second, every ten seconds", mesh.Load{PerSecond: 1, Duration: time.Hour}, 360,
			10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.load.Connection = mesh.Both
			if n, every := c.load.Kept(); n != c.requests || every != c.every {
				t.Errorf("%d requests every %v, want %d every %v", n, every, c.requests, c.every)
			}
			for _, without := range []mesh.Connection{"", mesh.NewConnection, mesh.KeepAlive} {
				c.load.Connection = without
				if n, every := c.load.Kept(); n != 0 || every != 0 {
					t.Errorf("connection %q: %d requests every %v, want none", without, n, every)
				}
			}
		})
	}
}

// Whatever rate a limit leaves, the pauses of the persistent stream stay within the longest one.
func TestNoPauseIsLongerThanTheLongest(t *testing.T) {
	const targets = 100
	for _, seconds := range []int{1, 2, 49, 50, 51, 99, 100, 101, 149, 150, 151, 599, 600, 3600, 86_400} {
		for _, limit := range []int{0, 1, 2, 3, 5, 8, 13, 21, 50, 99, 100, 101, 109, 110, 111, 500} {
			l, _ := mesh.Load{PerSecond: 7, Duration: time.Duration(seconds) * time.Second,
				Connection: mesh.Both}.Within(targets, limit)
			n, every := l.Kept()
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
				if got, ok := l.Within(targets, limit); (ok && got.Every == 0) != (fits >= 1) || fits >= 1 &&
					got.PerSecond != fits {
					t.Fatalf("%d targets for %d s within %d: %+v, %t; the policy allows %d", targets, seconds, limit,
						got, ok, fits)
				}
			}
			for _, qps := range []int{1, 2, 3, 9, 10, 11, 1000} {
				l.PerSecond = qps
				sends := max(ceil(targets*qps*11, 10), targets*qps+ceil(targets*3, seconds))
				if got := l.Sends(targets); got != sends {
					t.Fatalf("%d targets for %d s at %d a second get %d, and the policy says %d", targets, seconds, qps,
						got, sends)
				}
			}
		}
	}
}
