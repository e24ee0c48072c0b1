//go:build linux

package engine

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe/probetest"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestHostileServersCannotHurtTheEngine(t *testing.T) {
	for name, connection := range map[string]mesh.Connection{"new connections": mesh.NewConnection, "connections that are kept": mesh.KeepAlive, "both": mesh.Both} {
		t.Run(name, func(t *testing.T) {
			probetest.Hostile(t, func(targets []target.Target) []report.Path {
				e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: targets, InFlight: 2000,
					Load: mesh.Load{PerSecond: 1, Duration: 2 * time.Second, Timeout: time.Second, Connection: connection}})
				e.Run(t.Context())
				return e.Paths()
			})
		})
	}
}
