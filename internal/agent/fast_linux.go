package agent

import (
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/engine"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

func fastSupports(t target.Target) bool { return engine.Supports(t) }

// fast is the plan's load on those of its targets.
func fast(plan mesh.Plan, identity echo.Identity, targets []target.Target, inFlight int) measurement {
	return engine.New(engine.Config{Round: plan.Key.String(), Source: identity.Pod, Installation: identity.Installation,
		Status:  plan.Status,
		Targets: targets, Load: plan.Load, InFlight: inFlight})
}
