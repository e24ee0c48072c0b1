package agent

import (
	"cmp"
	"context"
	"sync"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	httpprobe "kdoctor.io/kdoctor/internal/probe/http"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// measure prepares the plan's load: by the engine what it supports, by httpprobe what is left, such as names that must be resolved.
// Both share the bound on attempts in flight in proportion to their targets.
func measure(plan mesh.Plan, identity httpprobe.Identity, inFlight int) measurement {
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
		prober := httpprobe.New(httpprobe.Config{Round: plan.Key.String(), Source: identity.Pod, Installation: identity.Installation,
			Timeout: plan.Load.Timeout, Status: plan.Status})
		m.loads[1] = load.New(load.Config{Prober: prober, Source: identity.Pod, Targets: rest, Load: plan.Load,
			InFlight: max(1, limit*len(rest)/max(1, len(plan.Targets)))})
	}
	return m
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
