package mesh_test

import (
	"testing"
	"time"

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
			if n, every := c.load.Persistent(); n != c.requests || every != c.every {
				t.Errorf("%d requests every %v, want %d every %v", n, every, c.requests, c.every)
			}
			for _, without := range []mesh.Connection{"", mesh.NewConnection, mesh.KeepAlive} {
				c.load.Connection = without
				if n, every := c.load.Persistent(); n != 0 || every != 0 {
					t.Errorf("connection %q: %d requests every %v, want none", without, n, every)
				}
			}
		})
	}
}

// Whatever rate a limit leaves, the pauses of the persistent stream stay within the longest one.
