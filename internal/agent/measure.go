package agent

import (
	"cmp"
	"context"
	"sync"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// measure prepares the plan's load. The engine takes the targets that it supports. The portable prober and the TLS
// prober take the others, such as targets over TLS and names that must be resolved. The two parts share the bound on
// attempts in flight in proportion to their targets.
func measure(plan mesh.Plan, identity echo.Identity, inFlight int) measurement {
	m := splitLoad{onEngine: make([]bool, len(plan.Targets))}
	var onEngine, onProbers []target.Target
	for i, t := range plan.Targets {
		if m.onEngine[i] = engineSupports(t); m.onEngine[i] {
			onEngine = append(onEngine, t)
		} else {
			onProbers = append(onProbers, t)
		}
	}
	limit := cmp.Or(inFlight, load.DefaultInFlight)
	if len(onEngine) > 0 {
		m.engine = engineLoad(plan, identity, onEngine, max(1, limit*len(onEngine)/len(plan.Targets)))
	}
	if len(onProbers) > 0 || len(onEngine) == 0 {
		m.probers = newProberLoad(plan, identity, onProbers, max(1, limit*len(onProbers)/max(1, len(plan.Targets))))
	}
	return m
}

// proberLoad is a load that the portable prober and the TLS prober make.
type proberLoad struct {
	*load.Runner
	probers []interface{ Close() }
}

// newProberLoad returns the plan's load on the targets.
func newProberLoad(plan mesh.Plan, identity echo.Identity, targets []target.Target, inFlight int) *proberLoad {
	l := &proberLoad{}
	config := load.Config{Source: identity.Pod, Targets: targets, Load: plan.Load, InFlight: inFlight}
	config.Prober = l.prober(plan, identity, plan.Key.String(), plan.Load.Connection == mesh.KeepAlive)
	if plan.Load.Connection == mesh.Both {
		config.Persistent = l.prober(plan, identity, plan.Key.String()+echo.PersistentSuffix, true)
	}
	l.Runner = load.New(config)
	return l
}

// Run runs the load, and then closes the connections that its probers left open.
func (l *proberLoad) Run(ctx context.Context) bool {
	defer func() {
		for _, p := range l.probers {
			p.Close()
		}
	}()
	return l.Runner.Run(ctx)
}

// Grid returns false: this load wakes up for every event.
func (l *proberLoad) Grid() bool { return false }

// prober returns a prober for every protocol of the plan. Its requests are of the round with the name. With persistent
// they go over connections that stay open.
func (l *proberLoad) prober(plan mesh.Plan, identity echo.Identity, round string, persistent bool) probe.Prober {
	config := httpprobe.Config{Round: round, Source: identity.Pod, Installation: identity.Installation,
		Timeout: plan.Load.Timeout, Status: plan.Status, Keep: persistent}
	portable := httpprobe.New(config)
	secure := tlsprobe.New(tlsprobe.Config{Config: config, Authorities: plan.Authorities})
	l.probers = append(l.probers, portable, secure)
	return byProtocol{portable: portable, tls: secure}
}

// byProtocol chooses a prober by the protocol of the target.
type byProtocol struct{ portable, tls probe.Prober }

func (b byProtocol) Probe(ctx context.Context, t target.Target) probe.Sample {
	if t.Secure() {
		return b.tls.Probe(ctx, t)
	}
	return b.portable.Probe(ctx, t)
}

// splitLoad is a load of two parts; one of them may be nil.
type splitLoad struct {
	engine, probers measurement
	// onEngine says of each target of the plan whether the engine has it.
	onEngine []bool
}

func (l splitLoad) Run(ctx context.Context) bool {
	parts := [...]measurement{l.engine, l.probers}
	var complete [len(parts)]bool
	var running sync.WaitGroup
	for i, part := range parts {
		running.Go(func() { complete[i] = part == nil || part.Run(ctx) })
	}
	running.Wait()
	return complete[0] && complete[1]
}

func (l splitLoad) Grid() bool { return l.engine != nil && l.engine.Grid() }

// Paths returns the paths in the order of the plan's targets.
func (l splitLoad) Paths() []report.Path {
	var engine, probers []report.Path
	if l.engine != nil {
		engine = l.engine.Paths()
	}
	if l.probers != nil {
		probers = l.probers.Paths()
	}
	paths := make([]report.Path, 0, len(l.onEngine))
	for _, onEngine := range l.onEngine {
		part := &probers
		if onEngine {
			part = &engine
		}
		paths, *part = append(paths, (*part)[0]), (*part)[1:]
	}
	return paths
}
