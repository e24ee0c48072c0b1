package round_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// An agent that lost its round is started again by the process that takes the round up: it began then, and no earlier.
func TestItIsKnownWhenAnAgentWasStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agents, req := newAgents(nil), request(time.Minute)
		conduct := conductor(pods("a"), agents, newMemory())
		req.Want.Load.Duration = 11 * time.Second
		handOver(t, conduct, req, 3*time.Second)
		delete(agents.loads, "a")
		got, err := conduct.Run(t.Context(), req)
		if err != nil || len(got.Round.Agents) != 1 {
			t.Fatalf("%d reports, %v", len(got.Round.Agents), err)
		}
		a := got.Round.Agents[0]
		earliest, latest := a.Earliest.Sub(got.Round.Started), a.Latest.Sub(got.Round.Started)
		if earliest != 3*time.Second || latest != 3*time.Second {
			t.Errorf("it started %v to %v after the round, want 3 s", earliest, latest)
		}
	})
}
