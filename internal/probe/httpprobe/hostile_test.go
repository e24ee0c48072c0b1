package httpprobe_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestHostileServersCannotHurtTheProber(t *testing.T) {
	for name, keep := range map[string]bool{"new connections": false, "persistent connections": true} {
		t.Run(name, func(t *testing.T) {
			probetest.Hostile(t, func(targets []target.Target) []report.Path {
				prober := httpprobe.New(httpprobe.Config{Round: "u/1/1", Source: "a", Installation: "k/a",
					Timeout: time.Second, Keep: keep})
				defer prober.Close()
				l := load.New(load.Config{Prober: prober, Source: "a", Targets: targets, InFlight: 2000,
					Load: mesh.Load{PerSecond: 1, Duration: 2 * time.Second, Timeout: time.Second}})
				l.Run(t.Context())
				return l.Paths()
			})
		})
	}
}
