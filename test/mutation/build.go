package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
)

// errBuild is that of a program that the compiler refuses.
var errBuild = errors.New("does not compile")

// parses reports whether the file is Go with the change: what is not would hide the errors of all others.
func parses(s *source, m Mutant) bool {
	_, err := parser.ParseFile(token.NewFileSet(), m.File, m.apply(s.text), parser.SkipObjectResolution)
	return err == nil
}

// schemata builds the test programs once for all the mutants. It leaves out those that do not compile and returns how
// many they are.
func (s *session) schemata(
	ctx context.Context, all []*variant,
) (binaries []string, good []*variant, bad int, err error) {
	for good = all; ; {
		overlay := map[string][]byte{filepath.Join(s.dir, "kdoctor_mutant.go"): fmt.Appendf(nil, selector, s.name)}
		by := map[string][]*variant{}
		for _, v := range good {
			by[v.mutant.File] = append(by[v.mutant.File], v)
		}
		for file, variants := range by {
			overlay[filepath.Join(s.root, file)] = s.sources[file].instrument(variants)
		}
		binaries, out, err := s.build(ctx, "all", overlay)
		if err == nil {
			return binaries, good, bad, nil
		}
		left := without(good, out)
		if !errors.Is(err, errBuild) || len(left) == len(good) {
			return nil, nil, 0, fmt.Errorf("build all mutants: %w:\n%s", err, out)
		}
		bad += len(good) - len(left)
		good = left
	}
}

// without leaves out the variants in which the compiler found an error.
func without(all []*variant, out string) []*variant {
	errs := regexp.MustCompile(`(?m)^(\S+\.go):(\d+):`).FindAllStringSubmatch(out, -1)
	var left []*variant
	for _, v := range all {
		refused := false
		for _, e := range errs {
			line, _ := strconv.Atoi(e[2])
			refused = refused || path.Base(e[1]) == path.Base(v.mutant.File) && v.first <= line && line <= v.last
		}
		if !refused {
			left = append(left, v)
		}
	}
	return left
}

// single builds the test programs for one mutant that cannot be switched on.
func (s *session) single(ctx context.Context, m Mutant) ([]string, error) {
	overlay := map[string][]byte{filepath.Join(s.root, m.File): m.apply(s.sources[m.File].text)}
	binaries, out, err := s.build(ctx, m.File, overlay)
	if err != nil && !errors.Is(err, errBuild) {
		return nil, fmt.Errorf("build %s: %w:\n%s", m, err, out)
	}
	return binaries, err
}

// build compiles the test programs with the overlay. It returns where they are, or what the compiler says.
func (s *session) build(
	ctx context.Context, name string, overlay map[string][]byte,
) (binaries []string, out string, err error) {
	dir, err := os.MkdirTemp(s.scratch, "build")
	if err != nil {
		return nil, "", fmt.Errorf("build: %w", err)
	}
	replace := map[string]string{}
	for at, text := range overlay {
		file := filepath.Join(dir, filepath.Base(at))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, "", fmt.Errorf("write a mutant: %w", err)
		}
		replace[at] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, "", fmt.Errorf("write the overlay: %w", err)
	}
	at := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(at, list, 0o600); err != nil {
		return nil, "", fmt.Errorf("write the overlay: %w", err)
	}
	for i, pkg := range s.tests {
		binary := filepath.Join(dir, fmt.Sprintf("%d.test", i))
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", at,
			"-gcflags="+s.path+"=-e", "-ldflags=-s -w", "-o", binary, pkg)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && ctx.Err() == nil:
			return nil, said.String(), fmt.Errorf("%w: %s", errBuild, name)
		case err != nil:
			return nil, said.String(), fmt.Errorf("go test -c %s: %w", pkg, err)
		}
		binaries = append(binaries, binary)
	}
	return binaries, "", nil
}
