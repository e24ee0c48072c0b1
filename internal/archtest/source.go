package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Package is one folder of Go files, without tests and generated files.
type Package struct {
	// Dir is relative to the root that was walked, with slashes; "." is the root.
	Dir   string
	Name  string
	Files []File
	// documented reports whether any file, a generated one included, has a package comment.
	documented bool
}

// File is one parsed file.
type File struct {
	// Path is relative to the root that was walked, with slashes.
	Path  string
	Lines int
	tree  *ast.File
	set   *token.FileSet
}

// Walk parses all packages below the root. It leaves out hidden folders, testdata, and what nested tells to be another
// module's.
func Walk(root string, nested func(dir string) bool) ([]Package, error) {
	var all []Package
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		dir, err := filepath.Rel(root, at)
		if err != nil {
			return fmt.Errorf("name %s from %s: %w", at, root, err)
		}
		dir = filepath.ToSlash(dir)
		if base := path.Base(dir); dir != "." && (strings.HasPrefix(base, ".") || base == "testdata" || nested(dir)) {
			return fs.SkipDir
		}
		p, err := parseFolder(at, dir)
		if err == nil && p.Name != "" {
			all = append(all, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("walk %s: %w", root, err)
	}
	return all, nil
}

// parseFolder reads the folder's files; the package's name is empty when there are none.
func parseFolder(at, dir string) (Package, error) {
	p := Package{Dir: dir}
	names, err := filepath.Glob(filepath.Join(at, "*.go"))
	if err != nil {
		return p, fmt.Errorf("list %s: %w", at, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name) // #nosec G304 -- a source file of this module
		if err != nil {
			return p, fmt.Errorf("read source: %w", err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return p, fmt.Errorf("parse source: %w", err)
		}
		p.Name = tree.Name.Name
		p.documented = p.documented || tree.Doc != nil
		if !ast.IsGenerated(tree) {
			p.Files = append(p.Files,
				File{Path: path.Join(dir, filepath.Base(name)), Lines: strings.Count(string(text), "\n"), tree: tree,
					set: set})
		}
	}
	return p, nil
}

// at tells where the node begins, as path:line.
func (f File) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Path, f.set.Position(n.Pos()).Line)
}
