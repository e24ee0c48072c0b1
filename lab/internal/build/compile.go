package build

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is the lab's own, by which its sources are recognised.
const module = "kdoctor.io/kdoctor/lab"

// flags are those of every build: small programs without paths of this machine, that know their release.
func (b Builder) flags(ctx context.Context, t target) ([]string, error) {
	linker := "-s -w"
	if len(t.versions) > 0 {
		version, err := command(ctx, b.Source, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
		if err != nil {
			return nil, fmt.Errorf("ask for the release of Kubernetes: %w", explain(err))
		}
		for _, name := range t.versions {
			linker += fmt.Sprintf(" -X %s=%s", name, bytes.TrimSpace(version))
		}
	}
	return []string{"-trimpath", "-ldflags=" + linker}, nil
}

// Source looks for the sources of the lab's module: in dir, in a folder "lab" of it, and so on upwards.
func Source(dir string) (string, error) {
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "lab")} {
			data, err := os.ReadFile(filepath.Join(candidate, "go.mod"))
			if err == nil && bytes.HasPrefix(data, []byte("module "+module+"\n")) {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("the sources of module %s: %w", module, fs.ErrNotExist)
		}
		dir = parent
	}
}

// compile builds one program and tells how far it is.
func (b Builder) compile(ctx context.Context, t target, label string) error {
	dir := filepath.Join(b.Source, t.folder)
	fmt.Fprintf(b.Progress, "%s: counting what is to be compiled\n", label)
	flags, err := b.flags(ctx, t)
	if err != nil {
		return err
	}
	total, err := stalePackages(ctx, dir, t.pkg, flags)
	if err != nil {
		return err
	}
	// The program itself is always counted.
	if total > 1 {
		fmt.Fprintf(b.Progress, "%s: compiling %d packages; from nothing, on 2 processors, this takes about %s\n",
			label, total, t.about)
	} else {
		fmt.Fprintf(b.Progress, "%s: everything is compiled, linking\n", label)
	}
	out := b.Cache.Program(t.name)
	args := append([]string{"build", "-v", "-o", out + ".new"}, flags...)
	cmd := command(ctx, dir, append(args, t.pkg)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	other := report(stderr, b.Progress, label, total)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("build %s: %w:\n%s", t.name, err, other)
	}
	if err := os.Rename(out+".new", out); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	return nil
}

// report counts the packages that "go build -v" names, tells the count every ten seconds, and returns all other lines.
func report(from io.Reader, to io.Writer, label string, total int) string {
	var other strings.Builder
	began := time.Now()
	told, done := began, 0
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		if strings.ContainsAny(line, " :") {
			if !strings.HasPrefix(line, "go: downloading ") {
				other.WriteString(line + "\n")
			}
			continue
		}
		done++
		if time.Since(told) >= 10*time.Second {
			told = time.Now()
			fmt.Fprintf(to, "%s: %d of %d packages, %s\n", label, done, total, time.Since(began).Round(time.Second))
		}
	}
	return other.String()
}

// stalePackages counts what the Go build cache does not have.
func stalePackages(ctx context.Context, dir, pkg string, flags []string) (int, error) {
	args := append([]string{"list", "-deps"}, flags...)
	out, err := command(ctx, dir, append(args, "-f", "{{if .Stale}}x{{end}}", pkg)...).Output()
	if err != nil {
		return 0, fmt.Errorf("list the packages of %s: %w", pkg, explain(err))
	}
	return bytes.Count(out, []byte("x")), nil
}

func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return cmd
}

func explain(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}

// key is different whenever the program would be: it covers compiler, flags, dependencies and sources.
func (b Builder) key(ctx context.Context, t target) (string, error) {
	sum := sha256.New()
	version, err := command(ctx, b.Source, "version").Output()
	if err != nil {
		return "", fmt.Errorf("ask for the version of Go: %w", explain(err))
	}
	flags, err := b.flags(ctx, t)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(sum, string(version), flags, t)
	paths := []string{filepath.Join(t.folder, "go.mod"), filepath.Join(t.folder, "go.sum")}
	for _, dir := range t.sources {
		err := filepath.WalkDir(filepath.Join(b.Source, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				rel, relErr := filepath.Rel(b.Source, path)
				paths, err = append(paths, rel), relErr
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("list the sources of %s: %w", t.name, err)
		}
	}
	for _, path := range paths {
		data, err := os.ReadFile(filepath.Join(b.Source, path))
		if err != nil {
			return "", fmt.Errorf("read the sources of %s: %w", t.name, err)
		}
		fmt.Fprintln(sum, path, len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
