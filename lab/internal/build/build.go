// Package build compiles what the lab runs, once, into a folder that all labs of the user share.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/lab/internal/image"
)

// Cache is where the results are.
type Cache string

// Default is the user's cache folder.
func Default() (Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return Cache(filepath.Join(dir, "kdoctor-lab")), nil
}

// Bin is the folder of the programs; it is made for a search path.
func (c Cache) Bin() string { return filepath.Join(string(c), "bin") }

// Program is the path of a program.
func (c Cache) Program(name string) string { return filepath.Join(c.Bin(), name) }

// Image is the path of an image's archive.
func (c Cache) Image(name string) string { return filepath.Join(string(c), "image", name+".tar") }

// target is one program. Folder is that of its module, in the lab's.
type target struct {
	name, folder, pkg string
	// sources are further folders, in the lab's module, whose content decides about the program.
	sources []string
	image   string
	about   string
	// versions are variables that hold the release of the Kubernetes module, as "git describe" would write it.
	versions []string
}

func targets() []target {
	return []target{
		{name: "pause", pkg: "./cmd/pause", sources: []string{"cmd/pause"}, image: image.Pause, about: "10 seconds"},
		{name: "podnet", pkg: "./cmd/podnet", sources: []string{"cmd/podnet", "internal/podnet"},
			about: "half a minute"},
		{name: "kube", pkg: "./cmd/kube", sources: []string{"cmd/kube"}, about: "10 minutes", versions: []string{
			"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion",
		}},
		{name: "coredns", folder: "coredns", pkg: ".", sources: []string{"coredns"}, image: image.CoreDNS,
			about: "3 minutes"},
		{name: "helm", folder: "helm", pkg: "helm.sh/helm/v4/cmd/helm", about: "3 minutes"},
	}
}

// components are the names by which the multi-call binary is called.
var components = [...]string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
	"kubectl"}

// Builder builds from the sources in a folder.
type Builder struct {
	// Source is the folder of the lab's module.
	Source string
	Cache  Cache
	// Progress is where it is told what is done. Nothing is written for a program that is current.
	Progress io.Writer
}

// Build brings everything up to date, one program after the other: each keeps all processors busy by itself. It says
// whether there was anything to do.
func (b Builder) Build(ctx context.Context) (bool, error) {
	stale, _, err := b.stale(ctx)
	if err != nil || len(stale) == 0 {
		return false, err
	}
	release, err := b.lock(ctx)
	if err != nil {
		return false, err
	}
	did, err := b.update(ctx)
	return did, errors.Join(err, release())
}

// lock waits until no other command builds. The kernel gives it back when the process ends, however it ends.
func (b Builder) lock(ctx context.Context) (release func() error, err error) {
	for told := false; ; {
		l, err := new(net.ListenConfig).Listen(ctx, "unix", "@kdoctor-lab build "+string(b.Cache))
		if err == nil {
			return l.Close, nil
		}
		if !told {
			told = true
			fmt.Fprintln(b.Progress, "another command is building; waiting for it")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another command that is building: %w", ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// stale returns what is to be built, and the key of everything.
func (b Builder) stale(ctx context.Context) ([]target, map[string]string, error) {
	var stale []target
	keys := map[string]string{}
	for _, t := range targets() {
		key, err := b.key(ctx, t)
		if err != nil {
			return nil, nil, err
		}
		keys[t.name] = key
		if !b.current(t, key) {
			stale = append(stale, t)
		}
	}
	return stale, keys, nil
}

// update builds what is stale. It has to hold the lock.
func (b Builder) update(ctx context.Context) (bool, error) {
	stale, keys, err := b.stale(ctx)
	if err != nil || len(stale) == 0 {
		return false, err
	}
	for _, dir := range []string{b.Cache.Bin(), filepath.Dir(b.Cache.Image(""))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, fmt.Errorf("make the cache folder: %w", err)
		}
	}
	for i, t := range stale {
		began := time.Now()
		if err := b.compile(ctx, t, fmt.Sprintf("[%d/%d] %s", i+1, len(stale), t.name)); err != nil {
			return true, err
		}
		if err := b.finish(t, keys[t.name]); err != nil {
			return true, err
		}
		fmt.Fprintf(b.Progress, "[%d/%d] %s: built in %s\n", i+1, len(stale), t.name,
			time.Since(began).Round(time.Second))
	}
	return true, nil
}

// finish makes what follows from a program: its image, the names it is called by, and the mark that it is current.
func (b Builder) finish(t target, key string) error {
	if t.image != "" {
		spec := image.Spec{Tag: t.image, Program: b.Cache.Program(t.name), Path: "/" + t.name}
		if err := image.Write(spec, b.Cache.Image(t.name)); err != nil {
			return err
		}
	}
	if t.name == "kube" {
		for _, name := range components {
			link := b.Cache.Program(name)
			if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("name %s: %w", name, err)
			}
			if err := os.Symlink(t.name, link); err != nil {
				return fmt.Errorf("name %s: %w", name, err)
			}
		}
	}
	if err := os.WriteFile(b.stamp(t), []byte(key), 0o644); err != nil {
		return fmt.Errorf("mark %s as built: %w", t.name, err)
	}
	return nil
}

func (b Builder) stamp(t target) string { return filepath.Join(string(b.Cache), t.name+".built") }

func (b Builder) current(t target, key string) bool {
	paths := []string{b.Cache.Program(t.name)}
	if t.image != "" {
		paths = append(paths, b.Cache.Image(t.name))
	}
	missing := slices.ContainsFunc(paths, func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
	stamp, err := os.ReadFile(b.stamp(t))
	return !missing && err == nil && strings.TrimSpace(string(stamp)) == key
}

// Usable says whether everything was built at some time. Without sources that is all that can be known.
func (c Cache) Usable() bool {
	return !slices.ContainsFunc(targets(), func(t target) bool {
		_, err := os.Stat(c.Program(t.name))
		return err != nil
	})
}
