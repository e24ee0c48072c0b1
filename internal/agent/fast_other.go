//go:build !linux

package agent

import (
	"kdoctor.io/kdoctor/internal/mesh"
	httpprobe "kdoctor.io/kdoctor/internal/probe/http"
	"kdoctor.io/kdoctor/internal/target"
)

// fastSupports: the engine is for Linux.
func fastSupports(target.Target) bool { return false }

func fast(mesh.Plan, httpprobe.Identity, []target.Target, int) measurement { return nil }
