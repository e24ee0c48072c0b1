package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"kdoctor.io/kdoctor/internal/image"
)

// release makes the files of one release.
type release struct {
	Options
	compile  Compiler
	progress io.Writer
	// draft is the folder that the files are made in, programs the one of the binaries.
	draft, programs string
	images          []imageMade
	plugins         []archive
}

// imageMade is what the chart says of an image.
type imageMade struct {
	program, name, digest string
	platforms             []string
}

func newRelease(o Options, compile Compiler, progress io.Writer) *release {
	return &release{Options: o, compile: compile, progress: progress}
}

// make writes all files into the folder, or leaves the folder as it was.
func (r *release) make(ctx context.Context) error {
	if err := replaceable(r.Out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(r.Out)), 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	// The draft lies beside the folder, so that it can take its place by one renaming.
	draft, err := os.MkdirTemp(filepath.Dir(filepath.Clean(r.Out)), ".release-*")
	if err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	defer os.RemoveAll(draft) //nolint:errcheck // what was made has been renamed
	r.draft, r.programs = filepath.Join(draft, "files"), filepath.Join(draft, "programs")
	for _, folder := range []string{r.draft, r.programs, filepath.Join(r.draft, "oci")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
	}
	for _, step := range []func(context.Context) error{
		r.compilePrograms,
		func(context.Context) error { return r.image("agent", r.AgentBytes) },
		func(context.Context) error { return r.image("controller", 0) },
		r.pluginArchives, r.krewManifest, r.chart, r.icon, r.finish,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(r.Out); err != nil {
		return fmt.Errorf("replace the folder: %w", err)
	}
	if err := os.Rename(r.draft, r.Out); err != nil {
		return fmt.Errorf("replace the folder: %w", err)
	}
	fmt.Fprintf(r.progress, "kdoctor %s is in %s\n", r.Version, r.Out)
	return nil
}

// replaceable refuses a folder that holds something other than a release: it would be lost.
func replaceable(folder string) error {
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the folder to write: %w", err)
	}
	if _, err := os.Stat(filepath.Join(folder, checksumFile)); err != nil {
		return fmt.Errorf("%s holds files that are no release; name another folder with --out or empty this one", folder)
	}
	return nil
}

// target is one program for one platform.
type target struct {
	name     string
	platform Platform
}

// targets are all programs of a release: the biggest first, so that the last ones are short.
func targets() []target {
	var all []target
	for _, name := range []string{"kdoctor-controller", "kdoctor-agent"} {
		for _, arch := range image.Architectures() {
			all = append(all, target{name, Platform{"linux", arch}})
		}
	}
	for _, p := range pluginPlatforms() {
		all = append(all, target{plugin, p})
	}
	return all
}

// compilePrograms builds all programs, as many at a time as there are processors.
func (r *release) compilePrograms(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var printing sync.Mutex
	for _, t := range targets() {
		group.Go(func() error {
			to := r.binary(t.name, t.platform)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return fmt.Errorf("make a folder for programs: %w", err)
			}
			if err := r.compile(ctx, "./cmd/"+strings.TrimPrefix(t.name, "kdoctor-"), t.platform, to); err != nil {
				return err
			}
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintf(r.progress, "  %s for %s\n", t.name, t.platform)
			return nil
		})
	}
	return group.Wait()
}

// binary is the file of the program for the platform.
func (r *release) binary(program string, p Platform) string {
	return filepath.Join(r.programs, p.OS+"_"+p.Arch, p.binary(program))
}

// image makes the program's image: a file for each architecture, which docker loads, one for both and a layout.
func (r *release) image(program string, limit int64) error {
	name, err := r.imageName(program)
	if err != nil {
		return err
	}
	spec := image.Spec{Name: name, Target: "/kdoctor-" + program, Created: r.Time, MaxBytes: limit,
		Labels: map[string]string{"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.url": r.HomeURL}}
	if r.Revision != "" {
		spec.Labels["org.opencontainers.image.revision"] = r.Revision
	}
	base := "kdoctor-" + program + "-" + r.number()
	made := imageMade{program: program, name: name}
	var platforms []image.Platform
	for _, arch := range image.Architectures() {
		target := Platform{"linux", arch}
		binary := r.binary("kdoctor-"+program, target)
		platform, err := image.New(spec, arch, binary)
		if err != nil {
			return fmt.Errorf("make the image of the %s: %w", program, err)
		}
		single, err := image.NewBundle(spec, platform)
		if err != nil {
			return fmt.Errorf("make the image of the %s: %w", program, err)
		}
		file := fmt.Sprintf("%s-linux-%s", base, arch)
		if err := single.WriteArchive(filepath.Join(r.draft, file+".tar"), arch); err != nil {
			return err
		}
		if err := r.bom(file, binary, imageSubject(program, name, r.number(), arch, single.Digest())); err != nil {
			return err
		}
		platforms = append(platforms, platform)
		made.platforms = append(made.platforms, target.String())
	}
	both, err := image.NewBundle(spec, platforms...)
	if err != nil {
		return fmt.Errorf("make the image of the %s: %w", program, err)
	}
	made.digest = both.Digest().String()
	r.images = append(r.images, made)
	if err := both.WriteArchive(filepath.Join(r.draft, base+".tar"), ""); err != nil {
		return err
	}
	return both.WriteLayout(filepath.Join(r.draft, "oci", program))
}

// icon copies the picture that the chart shows; charts name it by its address.
func (r *release) icon(context.Context) error {
	content, err := os.ReadFile(filepath.Join(r.Source, "docs", iconFile))
	if err != nil {
		return fmt.Errorf("read the icon: %w", err)
	}
	return os.WriteFile(filepath.Join(r.draft, iconFile), content, 0o644)
}

// sum is the file's SHA-256, in hexadecimal digits.
func sum(file string) (string, error) {
	opened, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer opened.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, opened); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
