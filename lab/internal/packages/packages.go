// Package packages sees to it that the Debian packages which the lab runs are on the machine; cmd/debian installs
// others in the same way.
package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is a Debian package that the lab needs, and a file of it that shows that it is there.
type Package struct {
	Name string
	// Program is looked for in the search path, or is a path itself.
	Program string
}

// Needed returns all packages.
func Needed() []Package {
	return []Package{
		{"etcd-server", "etcd"},
		{"containerd", "containerd"},
		{"runc", "runc"},
		{"containernetworking-plugins", "/usr/lib/cni/ptp"},
		{"nftables", "nft"},
		{"iptables", "iptables"},
		{"conntrack", "conntrack"},
		{"iproute2", "ip"},
		{"haproxy", "haproxy"},
		{"nginx-light", "nginx"},
		{"procps", "sysctl"},
		{"kmod", "modprobe"},
		{"mount", "mount"},
	}
}

// CNI is where Debian has the CNI plugins.
const CNI = "/usr/lib/cni"

// SearchPath is where programs are looked for: a search path without the administrators' folders finds neither nft nor
// haproxy.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Program returns the path of a program of the packages.
func Program(name string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range filepath.SplitList(SearchPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, fs.ErrNotExist)
}

// Missing returns the names of the packages that are not there.
func Missing() []string {
	var missing []string
	for _, p := range Needed() {
		if _, err := Program(p.Program); err != nil {
			missing = append(missing, p.Name)
		}
	}
	return missing
}

// Ensure installs what is missing. None of the packages' services is started.
func Ensure(ctx context.Context, progress io.Writer) error {
	missing := Missing()
	if len(missing) == 0 {
		return nil
	}
	if err := Install(ctx, missing, progress); err != nil {
		return err
	}
	if missing = Missing(); len(missing) > 0 {
		return fmt.Errorf("these packages were installed, but their programs are not where the lab looks: %s",
			strings.Join(missing, " "))
	}
	return nil
}

// Install installs packages by their names, without those that they only recommend. None of their services is started.
func Install(ctx context.Context, names []string, progress io.Writer) (err error) {
	all := strings.Join(names, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("programs of these Debian packages are needed, and there is no apt-get to install them: %s",
			all)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("these Debian packages are needed and not installed; run this as root: apt-get install "+
			"--no-install-recommends %s", all)
	}
	fmt.Fprintf(progress, "installing Debian packages: %s\n", all)
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	restore, err := withoutServices()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	return apt(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...)
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w:\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// withoutServices keeps Debian's packages from starting their services, by the policy script that exists for this. A
// script that is there already is the machine's own decision and is left alone.
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
