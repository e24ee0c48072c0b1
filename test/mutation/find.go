package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// A Mutant is one small change of one source file.
type Mutant struct {
	// File is the path of the file from the root of the module, Line the place in it, Func the function around it,
	// empty outside of functions.
	File string
	Line int
	Func string
	// Was and Becomes show the change. With File and Func, Was and Becomes identify the mutant.
	Was, Becomes string

	// The bytes from..to are replaced by with.
	from, to int
	with     string
	// fn is the function around the change, nil outside of functions.
	fn *ast.FuncDecl
}

func (m Mutant) String() string {
	return fmt.Sprintf("%s:%d %s: %s -> %s", m.File, m.Line, m.where(), m.Was, m.Becomes)
}

// where returns the function around the mutant, or a dash.
func (m Mutant) where() string { return cmp.Or(m.Func, "-") }

// apply returns the text with the change.
func (m Mutant) apply(text []byte) []byte {
	return []byte(string(text[:m.from]) + m.with + string(text[m.to:]))
}

// A source is one parsed file.
type source struct {
	name string
	text []byte
	set  *token.FileSet
	tree *ast.File
}

// read parses a file of the package.
func read(name string, text []byte) (*source, error) {
	s := &source{name: name, text: text, set: token.NewFileSet()}
	tree, err := parser.ParseFile(s.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	s.tree = tree
	return s, nil
}

func (s *source) offset(p token.Pos) int { return s.set.Position(p).Offset }

func (s *source) show(n ast.Node) string { return string(s.text[s.offset(n.Pos()):s.offset(n.End())]) }

// finder collects the mutants of one file.
type finder struct {
	*source
	// stack holds the nodes around the one that is visited, the outermost first.
	stack []ast.Node
	found []Mutant
}

// find returns all mutants of the file, in the order of their places.
func (s *source) find() []Mutant {
	if ast.IsGenerated(s.tree) {
		return nil
	}
	f := &finder{source: s}
	ast.PreorderStack(s.tree, nil, func(n ast.Node, stack []ast.Node) bool {
		f.stack = stack
		return f.visit(n)
	})
	seen := map[string]int{}
	for i, m := range f.found {
		key := m.Func + "\n" + m.Was + "\n" + m.Becomes
		if seen[key]++; seen[key] > 1 {
			f.found[i].Becomes += fmt.Sprintf(" #%d", seen[key])
		}
	}
	return f.found
}

// visit adds the mutants of the node itself and reports whether to go on inside of it.
func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.CONST || n.Tok == token.VAR
	case *ast.Field:
		return false
	case *ast.ExprStmt:
		if logs(n.X) {
			return false
		}
		f.drop(n)
	case *ast.AssignStmt:
		f.assign(n)
	case *ast.IncDecStmt:
		other := map[token.Token]token.Token{token.INC: token.DEC, token.DEC: token.INC}
		f.swapToken(n, n.TokPos, n.Tok, other[n.Tok])
		f.drop(n)
	case *ast.SendStmt, *ast.GoStmt:
		f.drop(n)
	case *ast.DeferStmt:
		if !releases(n.Call) {
			f.drop(n)
		}
	case *ast.BranchStmt:
		f.branch(n)
	case *ast.ReturnStmt:
		if !f.ends(n) {
			f.drop(n)
		}
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.ForStmt:
		f.negate(n.Cond)
	case *ast.SwitchStmt:
		f.cases(n.Body, n.Tag == nil)
	case *ast.TypeSwitchStmt:
		f.cases(n.Body, false)
	case *ast.CompositeLit:
		f.elements(n)
	case ast.Expr:
		f.expression(n)
	}
	return true
}

// add adds the mutant that replaces from..to; shown is the node that is shown with and without the change.
func (f *finder) add(shown ast.Node, from, to token.Pos, with string) {
	begin, end := f.offset(shown.Pos()), f.offset(shown.End())
	m := Mutant{File: f.name, Line: f.set.Position(from).Line, from: f.offset(from), to: f.offset(to), with: with}
	m.Was = line(string(f.text[begin:end]))
	m.Becomes = line(string(f.text[begin:m.from]) + with + string(f.text[min(m.to, end):end]))
	if m.Becomes == "" {
		m.Becomes = "dropped"
	}
	for _, n := range f.stack {
		if fn, ok := n.(*ast.FuncDecl); ok {
			m.fn, m.Func = fn, fn.Name.Name
			if fn.Recv != nil && len(fn.Recv.List) == 1 {
				m.Func = strings.TrimPrefix(f.show(fn.Recv.List[0].Type), "*") + "." + m.Func
			}
		}
	}
	f.found = append(f.found, m)
}

// line makes one line of the text.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

func (f *finder) drop(n ast.Node) {
	if _, ok := f.parent().(*ast.CommClause); !ok {
		f.add(n, n.Pos(), n.End(), "")
		return
	}
	// The statement may be what the clause waits for, without which there is no clause.
	if clause := f.parent().(*ast.CommClause); clause.Comm != n { //nolint:forcetypeassert // the line above has looked
		f.add(n, n.Pos(), n.End(), "")
	}
}

func (f *finder) parent() ast.Node {
	if len(f.stack) == 0 {
		return nil
	}
	return f.stack[len(f.stack)-1]
}

// swapToken replaces one token by another; none is no mutant.
func (f *finder) swapToken(shown ast.Node, at token.Pos, was, becomes token.Token) {
	if becomes != token.ILLEGAL {
		f.add(shown, at, at+token.Pos(len(was.String())), becomes.String())
	}
}

// ends reports whether the statement is the last of its function: to leave out a return there changes nothing, or
// does not compile.
func (f *finder) ends(n ast.Stmt) bool {
	if len(f.stack) < 2 {
		return false
	}
	body, ok := f.parent().(*ast.BlockStmt)
	if !ok || body.List[len(body.List)-1] != n {
		return false
	}
	switch f.stack[len(f.stack)-2].(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		return true
	}
	return false
}

// logs reports whether the expression writes a log: no result depends on it.
func logs(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	logger := func(name string) bool {
		return slices.Contains([]string{"log", "slog", "klog", "logger"}, strings.ToLower(name))
	}
	for x = call.Fun; ; {
		switch at := x.(type) {
		case *ast.SelectorExpr:
			if logger(at.Sel.Name) {
				return true
			}
			x = at.X
		case *ast.CallExpr:
			x = at.Fun
		case *ast.Ident:
			return logger(at.Name)
		default:
			return false
		}
	}
}

// releases reports whether the deferred call only gives back what the process would lose at its end: no result
// depends on it.
func releases(call *ast.CallExpr) bool {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name == "cancel" || fun.Name == "stop"
	case *ast.SelectorExpr:
		return fun.Sel.Name == "Close" || fun.Sel.Name == "Stop"
	}
	return false
}
