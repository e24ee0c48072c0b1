package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var errUsage = errors.New("usage")

// options are what the command was called with.
type options struct {
	pkg, only string
	tests     []string
	sample    int
	verbose   bool
	seed      uint64
	parallel  int
}

// session is one run of the command.
type session struct {
	options
	// root is the folder of the module, dir that of the package, scratch holds what is built.
	root, dir, scratch string
	// path is the import path of the package, name its name.
	path, name string
	sources    map[string]*source
	// all holds every mutant of the package, rest those that are not tested yet, in the order of the sample.
	all, rest []Mutant
	// folders are those of the test packages, in which their binaries run.
	folders []string
}

// listed is what go list says of a package.
type listed struct {
	Dir, ImportPath, Name string
	GoFiles               []string
	Module                struct{ Dir string }
}

func list(ctx context.Context, pkg string) (listed, error) {
	var p listed
	out, err := exec.CommandContext(ctx, "go", "list", "-json=Dir,ImportPath,Name,GoFiles,Module", pkg).Output()
	if err != nil {
		return p, fmt.Errorf("go list %s: %w", pkg, err)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		return p, fmt.Errorf("go list %s names no single package: %w", pkg, err)
	}
	return p, nil
}

// open reads the package and draws the sample.
func open(ctx context.Context, o options) (*session, error) {
	p, err := list(ctx, o.pkg)
	if err != nil {
		return nil, err
	}
	s := &session{options: o, root: p.Module.Dir, dir: p.Dir, path: p.ImportPath, name: p.Name}
	s.sources = map[string]*source{}
	for _, file := range p.GoFiles {
		if err := s.read(filepath.Join(p.Dir, file)); err != nil {
			return nil, err
		}
	}
	for _, t := range o.tests {
		p, err := list(ctx, t)
		if err != nil {
			return nil, err
		}
		s.folders = append(s.folders, p.Dir)
	}
	s.rest = slices.Clone(s.all)
	r := rand.New(rand.NewPCG(o.seed, 0)) // #nosec G404 -- a sample that can be drawn again
	r.Shuffle(len(s.rest), func(i, j int) { s.rest[i], s.rest[j] = s.rest[j], s.rest[i] })
	if s.sample == 0 {
		s.sample = len(s.all)
	}
	s.scratch, err = os.MkdirTemp("", "mutation")
	return s, err
}

func (s *session) close() { _ = os.RemoveAll(s.scratch) }

func (s *session) read(at string) error {
	text, err := os.ReadFile(at)
	if err != nil {
		return fmt.Errorf("read a source: %w", err)
	}
	name, err := filepath.Rel(s.root, at)
	if err != nil {
		return fmt.Errorf("name a source: %w", err)
	}
	src, err := read(filepath.ToSlash(name), text)
	if err != nil {
		return err
	}
	s.sources[src.name] = src
	for _, m := range src.find() {
		if o := s.only; strings.Contains(m.File, o) {
			s.all = append(s.all, m)
		}
	}
	return nil
}

// trial is a mutant with the programs that test it, and the environment that switches it on. One without programs is
// built before its test.
type trial struct {
	mutant   Mutant
	binaries []string
	env      string
	outcome  outcome
	// by is what the failing test program said first, where the mutant was killed.
	by string
}

// draw takes the next mutants of the sample until it is full, and builds those that can be switched: what does not
// compile is replaced.
func (s *session) draw(ctx context.Context) (trials []*trial, refused int, err error) {
	var switched []*variant
	var binaries []string
	for id := 0; ; {
		for len(switched)+len(trials) < s.sample && len(s.rest) > 0 {
			m := s.rest[0]
			s.rest = s.rest[1:]
			id++
			switch src := s.sources[m.File]; {
			case !parses(src, m):
				refused++
			case src.switchable(m):
				switched = append(switched, &variant{id: id, mutant: m})
			default:
				trials = append(trials, &trial{mutant: m, env: variable + "=0"})
			}
		}
		var bad int
		if binaries, switched, bad, err = s.schemata(ctx, switched); err != nil {
			return nil, 0, err
		}
		refused += bad
		if bad == 0 || len(s.rest) == 0 {
			break
		}
	}
	// Where the tests fail on all mutants together, the package does not keep a promise of its own, such as how much
	// it allocates.
	clean, _ := s.try(ctx, binaries, variable+"=0", time.Hour)
	alone := clean != survived
	for _, v := range switched {
		t := &trial{mutant: v.mutant, binaries: binaries, env: fmt.Sprintf("%s=%d", variable, v.id)}
		if alone {
			t.binaries, t.env = nil, variable+"=0"
		}
		trials = append(trials, t)
	}
	return trials, refused, nil
}
