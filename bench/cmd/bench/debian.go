package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// packages are Debian's packages by the programs that we need of them.
func packages() map[string]string {
	return map[string]string{"wrk": "wrk", "ab": "apache2-utils", "nginx": "nginx-light"}
}

// ready installs Debian packages that are missing, by the lab's program for this, which is among ours in the folder.
// It runs outside the namespace, which has no way to a mirror.
func ready(ctx context.Context, dir string, log io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("this needs root, for a network namespace of its own")
	}
	if runtime.NumCPU() < 2 {
		return errors.New("this needs two CPUs: one for each side")
	}
	var missing []string
	for program, name := range packages() {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "debian"), missing...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install Debian packages: %w", err)
	}
	return nil
}
