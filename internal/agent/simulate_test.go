package agent

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// counted is a load of which the responder has counted three requests.
type counted struct{ mesh.Plan }

func (c counted) Run(context.Context) bool { return true }

func (c counted) Grid() bool { return false }

func (c counted) Paths() []report.Path { return []report.Path{{Target: c.Targets[0], Bytes: 7}} }

func (c counted) Served(string) uint64 { return 3 }

func (c counted) SetOptions(string, echo.Options) error { return nil }

func (c counted) Forget(string) {}

func TestSimulatedAgentReportsWhatItWasGiven(t *testing.T) {
	a := newAuthority(t)
	r := running{listeners: Listeners{HTTP: listenOn(t, "127.0.0.1:0"), Control: listenOn(t, "127.0.0.1:0")},
		dir: t.TempDir()}
	t.Cleanup(func() { _ = r.listeners.HTTP.Close() })
	a.install(t, r.dir)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		over <- Simulate(ctx, Simulation{
			Config:  Config{Identity: echo.Identity{Pod: "a"}, TLSDir: r.dir, Log: slog.New(slog.DiscardHandler)},
			Control: r.listeners.Control, Answers: counted{},
			Load: func(p mesh.Plan) Load { return counted{p} }, Used: report.Resources{Known: true, MaxMemory: 9},
			Observed: report.Observer{Ports: 5},
		})
	}()
	client := r.dial(t, credentials.NewTLS(a.controller(t)))
	start(t, client, planFor("a", key(1), r.target("b", topology.IPv4)))
	got := await(t, client, key(1), ended)
	if !got.Finished || got.Served != 3 || got.Resources.MaxMemory != 9 || got.Observer.Ports != 5 ||
		len(got.Paths) != 1 || got.Paths[0].Bytes != 7 || got.Paths[0].Target.ID != "Agent_b" {
		t.Errorf("report %+v; want what the simulation was given", got)
	}
	cancel()
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the simulation does not end with its context")
	}
}
