package control_test

import (
	"context"
	"testing"
	"time"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/kube/pki"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// Probe takes as long as the caller waits.
func (a *agent) Probe(ctx context.Context, _ *agentv1.ProbeRequest) (*agentv1.ProbeResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestProbesThatTakeLongAreNoSignThatTheDirectWayIsBroken(t *testing.T) {
	i := install(t)
	address := i.serve(&agent{pod: "a"}, pki.AgentName)
	place := at(address)
	c := client(t, control.Config{TLS: i.clientTLS(), Forward: &detour{to: address}})
	if err := c.Start(t.Context(), place, plan()); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	specs := []ladder.Spec{{Method: ladder.DNS, Count: 1, Timeout: time.Second}}
	if _, err := c.Probe(short, place, specs); err == nil {
		t.Fatal("the probes have a result")
	}
	got, err := c.Fetch(t.Context(), place, key())
	if err != nil || got.Via != report.Direct {
		t.Errorf("the report comes by %q, error %v; want it by the direct way", got.Via, err)
	}
}
