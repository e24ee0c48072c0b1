//go:build !linux

package agent

import (
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// fastSupports: the engine is for Linux.
func fastSupports(target.Target) bool { return false }

func fast(mesh.Plan, echo.Identity, []target.Target, int) measurement { return nil }
