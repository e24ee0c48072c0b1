package agent

import (
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/wire"
)

// An agent keeps an idle connection for longer than another agent pauses on it, even where one request of the stream is
// missed: as late as it may start, and after it for a whole interval.
func TestAgentsKeepIdleConnectionsForLongerThanTheyPause(t *testing.T) {
	l := mesh.Load{PerSecond: 1, Connection: mesh.Both}
	for l.Duration = wire.MaxDuration; l.Duration >= 1e9; l.Duration = l.Duration * 9 / 10 / 1e9 * 1e9 {
		for l.Every = int(l.Duration / 1e9); l.Every > 0; l.Every /= 2 {
			pace := load.PersistentPaceOf(l)
			if pause := pace.Every + pace.Lateness(); pace.Requests < 3 || pause >= responder.DefaultIdle ||
				pace.Every > echo.LongestPause {
				t.Fatalf("a load of %v with a request every %d s pauses for %v, up to %v with one that is late, and "+
					"idle connections are kept for %v",
					l.Duration, l.Every, pace.Every, pause, responder.DefaultIdle)
			}
		}
	}
}
