package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// The limits, in lines.
const (
	FunctionLines = 100
	FileLines     = 400
	MainLines     = 60
)

// A SourceRule is something that every package must keep.
type SourceRule struct {
	Name string
	// Check returns one sentence per breach.
	Check func(Package) []string
}

// SizeRules hold for every module of the repository.
func SizeRules() []SourceRule {
	return []SourceRule{
		{"no package is named after nothing", badNames},
		{"packages are named after their folders", misnamed},
		{"no init functions", initFunctions},
		{"functions and files are short", tooLong},
	}
}

// SourceRules hold for the product's own module.
func SourceRules() []SourceRule {
	return append(SizeRules(),
		SourceRule{"every package has a comment", undocumented},
		SourceRule{"no mutable package variables", variables},
		SourceRule{"pure packages have no clock and no sockets", clocks},
		SourceRule{"pure packages start no goroutine and share nothing", concurrency},
	)
}

func badNames(p Package) []string {
	var found []string
	for _, name := range []string{path.Base(p.Dir), p.Name} {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "tool", "tools", "types", "manager",
			"misc"}, name) {
			found = append(found, fmt.Sprintf("%s: a package named %s says nothing; name it for its role", p.Dir, name))
		}
	}
	return slices.Compact(found)
}

// misnamed holds below internal alone: programs are all named main, and folders of an API are named after its version.
func misnamed(p Package) []string {
	if !within(p.Dir, "internal") || p.Name == "main" || p.Name == path.Base(p.Dir) {
		return nil
	}
	return []string{fmt.Sprintf("%s: package %s is not named after its folder", p.Dir, p.Name)}
}

func initFunctions(p Package) []string {
	return perFunction(p, func(f File, fn *ast.FuncDecl) string {
		if fn.Name.Name != "init" || fn.Recv != nil {
			return ""
		}
		return f.at(fn) + ": init runs before anyone asked; call it by name"
	})
}

func tooLong(p Package) []string {
	found := perFunction(p, func(f File, fn *ast.FuncDecl) string {
		lines := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1
		if lines <= FunctionLines {
			return ""
		}
		return fmt.Sprintf("%s: function %s has %d lines, the limit is %d", f.at(fn), fn.Name.Name, lines,
			FunctionLines)
	})
	for _, f := range p.Files {
		limit := FileLines
		if p.Name == "main" && path.Base(f.Path) == "main.go" {
			limit = MainLines
		}
		if f.Lines > limit {
			found = append(found, fmt.Sprintf("%s: has %d lines, the limit is %d", f.Path, f.Lines, limit))
		}
	}
	return found
}

// undocumented leaves out packages that are generated as a whole: nobody can write there.
func undocumented(p Package) []string {
	if p.documented || len(p.Files) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: package %s has no comment", p.Dir, p.Name)}
}

// constants are the package variables that are set once where they are declared and never change, by folder and name:
// compiled expressions, embedded files and what the linker sets.
func constants() []string {
	return []string{
		// Embedded files.
		"internal/apiserver/document",
		"internal/cli/page/markup",
		"internal/cli/page/style",
		// What the linker sets.
		"internal/version/release",
	}
}

func variables(p Package) []string {
	var found []string
	for _, f := range p.Files {
		for _, d := range f.tree.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names { //nolint:forcetypeassert // a var declaration holds nothing else
					if name.Name == "_" || sentinel(name.Name) ||
						slices.Contains(constants(), path.Join(p.Dir, name.Name)) {
						continue
					}
					found = append(found,
						fmt.Sprintf("%s: package variable %s; make it a function, a constant or a field", f.at(name),
							name.Name))
				}
			}
		}
	}
	return found
}

// sentinel reports whether the name is that of an error to compare with: errX or ErrX.
func sentinel(name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name[:1])+name[1:], "err")
	return ok && rest != "" && strings.ToUpper(rest[:1]) == rest[:1]
}

// clocks finds uses of the clock and of sockets in pure packages: their packages, time and net, hold pure functions
// too.
func clocks(p Package) []string {
	if !pure(path.Join(Module, p.Dir)) {
		return nil
	}
	forbidden := map[string][]string{
		"time": {"Now", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Since", "Until"},
		"net": {"Dial", "DialTimeout", "Dialer", "Listen", "ListenPacket", "LookupHost", "LookupIP", "LookupAddr",
			"Interfaces", "InterfaceAddrs", "Resolver"},
	}
	var found []string
	for _, f := range p.Files {
		names := importNames(f.tree)
		ast.Inspect(f.tree, func(n ast.Node) bool {
			use, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := use.X.(*ast.Ident); ok && slices.Contains(forbidden[names[pkg.Name]], use.Sel.Name) {
				found = append(found,
					fmt.Sprintf("%s: %s.%s in a pure package; take the value as an argument", f.at(use),
						names[pkg.Name], use.Sel.Name))
			}
			return true
		})
	}
	return found
}

// concurrency finds what can race in pure packages: goroutines, channels and the packages that guard what is shared.
func concurrency(p Package) []string {
	if !pure(path.Join(Module, p.Dir)) {
		return nil
	}
	var found []string
	for _, f := range p.Files {
		for _, i := range f.tree.Imports {
			if at := strings.Trim(i.Path.Value, `"`); at == "sync" || at == "sync/atomic" {
				found = append(found, fmt.Sprintf("%s: imports %s in a pure package, which shares nothing", f.at(i), at))
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType:
				found = append(found, fmt.Sprintf("%s: goroutine or channel in a pure package; leave both to the caller",
					f.at(n)))
			}
			return true
		})
	}
	return found
}

// importNames maps the names that imports have in the file to their paths.
func importNames(tree *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range tree.Imports {
		at := strings.Trim(i.Path.Value, `"`)
		name := path.Base(at)
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = at
	}
	return names
}

func perFunction(p Package, check func(File, *ast.FuncDecl) string) []string {
	var found []string
	for _, f := range p.Files {
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if breach := check(f, fn); breach != "" {
					found = append(found, breach)
				}
			}
		}
	}
	return found
}
