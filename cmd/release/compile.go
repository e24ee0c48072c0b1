package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Platform is what a program runs on, in Go's words.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// binary returns the name of the program's file there.
func (p Platform) binary(program string) string {
	if p.OS == "windows" {
		return program + ".exe"
	}
	return program
}

// completes reports whether the platform runs the script of completion.
func (p Platform) completes() bool { return p.OS != "windows" }

// pluginPlatforms are those of people who use kubectl.
func pluginPlatforms() []Platform {
	var all []Platform
	for _, system := range []string{"darwin", "linux", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			all = append(all, Platform{system, arch})
		}
	}
	return all
}

// A Compiler builds the package for the platform and writes the program to the file.
type Compiler func(ctx context.Context, pkg string, p Platform, to string) error

// goBuild compiles with the Go that is installed. Nothing of this machine gets into a program: neither folders nor the
// settings of whoever builds it. What git knows is left out too, for it differs between a clone with tags, one without
// and an unpacked archive; the version is linked in.
func goBuild(o Options) Compiler {
	return func(ctx context.Context, pkg string, p Platform, to string) error {
		to, err := filepath.Abs(to)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=grpcnotrace", "-buildvcs=false",
			"-mod=readonly", "-ldflags", o.Linker, "-o", to, pkg)
		cmd.Dir = o.Source
		cmd.Env = append(os.Environ(), "GOOS="+p.OS, "GOARCH="+p.Arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
			"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off", "GODEBUG=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s for %s: %w\n%s", pkg, p, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
}
