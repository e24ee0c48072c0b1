package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// packages are Debian's packages by the programs that we need of them.
func packages() map[string]string {
	return map[string]string{"wrk": "wrk", "ab": "apache2-utils", "nginx": "nginx-light"}
}

// ready installs Debian packages that are missing. It runs outside the namespace, which has no way to a mirror.
func ready(ctx context.Context, log io.Writer) error {
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
	fmt.Fprintf(log, "installing %s\n", strings.Join(missing, " "))
	return install(ctx, missing)
}

func install(ctx context.Context, names []string) (err error) {
	restore, err := withoutServices()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet", "install", "--yes", "--no-install-recommends"}, names...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install %s: %w:\n%s", strings.Join(names, " "), err, out)
	}
	return nil
}

// withoutServices keeps Debian's packages from starting their services, by the policy script that exists for this. A script that is
// there already is the machine's own decision and is left alone.
func withoutServices() (restore func() error, err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keep services from being started: %w", err)
	}
	_, writeErr := file.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(writeErr, file.Close()); err != nil {
		return nil, fmt.Errorf("keep services from being started: %w", err)
	}
	return func() error { return os.Remove(policy) }, nil
}
