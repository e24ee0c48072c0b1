package agent

import (
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/engine"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// engineSupports reports whether the engine can probe the target.
func engineSupports(t target.Target) bool { return engine.Supports(t) }

// engineLoad returns the plan's load on the given targets, all of which the engine supports.
func engineLoad(plan mesh.Plan, identity echo.Identity, targets []target.Target, inFlight int) measurement {
	return engine.New(engine.Config{Round: plan.Key.String(), Source: identity.Pod, Installation: identity.Installation,
		Status: plan.Status, Targets: targets, Load: plan.Load, InFlight: inFlight})
}
