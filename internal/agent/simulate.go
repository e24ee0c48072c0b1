package agent

import (
	"context"
	"fmt"
	"net"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
)

// Load is a round's load.
type Load = measurement

// Answers is what an agent's responder says of the requests that arrived.
type Answers = answerer

// Simulation is an agent that sends nothing and answers no requests.
type Simulation struct {
	Config
	Control net.Listener
	Answers Answers
	// Load computes the paths of a plan's round in place of measuring them.
	Load func(mesh.Plan) Load
	// Used and Observed are reported for every round.
	Used     report.Resources
	Observed report.Observer
}

// Simulate serves the control channel until the context ends, and closes the listener. Everything but the load itself
// is an agent's own: certificates, plans, rounds and reports.
func Simulate(ctx context.Context, s Simulation) error {
	rounds := newRounds(s.Identity, s.Answers, s.Log)
	rounds.measure = s.Load
	// Many simulated agents share a process.
	rounds.idling = &idling{}
	rounds.watch = func(_ context.Context, update func(report.Resources, report.Observer)) {
		update(s.Used, s.Observed)
	}
	server := controlServer(newCertificates(s.TLSDir, s.Log), rounds, nil)
	defer context.AfterFunc(ctx, server.Stop)()
	err := server.Serve(s.Control)
	rounds.close()
	if err != nil && !stopped(err) {
		return fmt.Errorf("control server: %w", err)
	}
	return nil
}
