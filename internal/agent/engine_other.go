//go:build !linux

package agent

import (
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// engineSupports returns false: the engine is for Linux.
func engineSupports(target.Target) bool { return false }

func engineLoad(mesh.Plan, echo.Identity, []target.Target, int) measurement { return nil }
