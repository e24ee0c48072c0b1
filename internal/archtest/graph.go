// Package archtest checks the rules that keep the packages apart and small: who may import whom, what a pure package
// may call, and how long functions and files may be. The rules themselves are in docs/architecture.md.
package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// Module is the path of the module whose rules these are.
const Module = "kdoctor.io/kdoctor"

// Graph tells, by import path, what each package imports, standard packages included.
type Graph map[string][]string

// Load reads the graph of all packages of the module in the folder, with everything that they import. Packages that
// cannot be loaded are an error: a graph with holes proves nothing.
func Load(ctx context.Context, dir string) (Graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-json=ImportPath,Imports,Error", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, stderr.String())
	}
	return parse(bytes.NewReader(out))
}

func parse(r io.Reader) (Graph, error) {
	graph := Graph{}
	var failed []error
	for decoder := json.NewDecoder(r); ; {
		var p struct {
			ImportPath string
			Imports    []string
			Error      *struct{ Err string }
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return graph, errors.Join(failed...)
		} else if err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		if p.Error != nil {
			failed = append(failed, fmt.Errorf("load %s: %s", p.ImportPath, p.Error.Err))
		}
		graph[p.ImportPath] = p.Imports
	}
}

// own reports whether the package belongs to the module.
func own(path string) bool { return within(path, Module) }

// standard reports whether the package is of the standard library: its first element has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// within reports whether the path is the root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// chain returns the shortest way of imports from a package to one that is forbidden, nil when there is none.
// Only packages that pass lets through are walked further; the standard library never is.
func (g Graph) chain(from string, forbidden, pass func(string) bool) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]] {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if forbidden(next) {
				return way(before, next)
			}
			if !standard(next) && pass(next) {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func way(before map[string]string, to string) []string {
	var all []string
	for at := to; at != ""; at = before[at] {
		all = append(all, at)
	}
	slices.Reverse(all)
	return all
}
