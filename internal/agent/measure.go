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

// measure prepares the plan's load: by the engine what it supports, by the other probers what is left, such as TLS and
// names that must be resolved. Both share the bound on attempts in flight in proportion to their targets.
func measure(plan mesh.Plan, identity echo.Identity, inFlight int) measurement {
	m := mixed{fast: make([]bool, len(plan.Targets))}
	var quick, rest []target.Target
	for i, t := range plan.Targets {
		if m.fast[i] = fastSupports(t); m.fast[i] {
			quick = append(quick, t)
		} else {
			rest = append(rest, t)
		}
	}
	limit := cmp.Or(inFlight, load.DefaultInFlight)
	if len(quick) > 0 {
		m.loads[0] = fast(plan, identity, quick, max(1, limit*len(quick)/len(plan.Targets)))
	}
	if len(rest) > 0 || len(quick) == 0 {
		m.loads[1] = slow(plan, identity, rest, max(1, limit*len(rest)/max(1, len(plan.Targets))))
	}
	return m
}

// slow is the plan's load on those of its targets that the engine does not support.
func slow(plan mesh.Plan, identity echo.Identity, targets []target.Target, inFlight int) measurement {
	s := &slowLoad{}
	config := load.Config{Source: identity.Pod, Targets: targets, Load: plan.Load, InFlight: inFlight}
	config.Prober = s.prober(plan, identity, plan.Key.String(), plan.Load.Connection == mesh.KeepAlive)
	if plan.Load.Connection == mesh.Both {
		config.Persistent = s.prober(plan, identity, plan.Key.String()+echo.PersistentSuffix, true)
	}
	s.Runner = load.New(config)
	return s
}

// slowLoad is a load with the probers that it closes when it ends.
type slowLoad struct {
	*load.Runner
	probers []interface{ Close() }
}

// Run runs the load and closes what its probers kept open.
func (s *slowLoad) Run(ctx context.Context) bool {
	defer func() {
		for _, p := range s.probers {
			p.Close()
		}
	}()
	return s.Runner.Run(ctx)
}

// Grid is false: this load wakes for every event.
func (s *slowLoad) Grid() bool { return false }

// prober serves every protocol of the plan, for requests that count for the round.
func (s *slowLoad) prober(plan mesh.Plan, identity echo.Identity, round string, keep bool) probe.Prober {
	config := httpprobe.Config{Round: round, Source: identity.Pod, Installation: identity.Installation,
		Timeout: plan.Load.Timeout, Status: plan.Status, Keep: keep}
	plain, secure := httpprobe.New(config), tlsprobe.New(tlsprobe.Config{Config: config, Authorities: plan.Authorities})
	s.probers = append(s.probers, plain, secure)
	return byProtocol{plain: plain, secure: secure}
}

// byProtocol chooses a prober by what a target speaks.
type byProtocol struct{ plain, secure probe.Prober }

func (b byProtocol) Probe(ctx context.Context, t target.Target) probe.Sample {
	if t.Secure() {
		return b.secure.Probe(ctx, t)
	}
	return b.plain.Probe(ctx, t)
}

// mixed is a load of two parts; one may be nil.
type mixed struct {
	// fast tells of each target whether it is in the first part.
	fast  []bool
	loads [2]measurement
}

func (m mixed) Run(ctx context.Context) bool {
	var complete [2]bool
	var running sync.WaitGroup
	for i, l := range m.loads {
		running.Go(func() { complete[i] = l == nil || l.Run(ctx) })
	}
	running.Wait()
	return complete[0] && complete[1]
}

func (m mixed) Grid() bool {
	return m.loads[0] != nil && m.loads[0].Grid()
}

// Paths is in the order of the plan's targets.
func (m mixed) Paths() []report.Path {
	var parts [2][]report.Path
	for i, l := range m.loads {
		if l != nil {
			parts[i] = l.Paths()
		}
	}
	paths := make([]report.Path, 0, len(m.fast))
	for _, fast := range m.fast {
		part := &parts[1]
		if fast {
			part = &parts[0]
		}
		paths, *part = append(paths, (*part)[0]), (*part)[1:]
	}
	return paths
}
