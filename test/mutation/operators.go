package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// replaced lists what stands for each operator in a mutant: bounds are moved, conditions negated, operators of one
// kind exchanged.
func replaced(op token.Token) []token.Token {
	return map[token.Token][]token.Token{
		token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
		token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
		token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
		token.LAND: {token.LOR}, token.LOR: {token.LAND},
		token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
		token.REM: {token.MUL},
		token.AND: {token.OR}, token.OR: {token.AND}, token.XOR: {token.AND}, token.AND_NOT: {token.AND},
		token.SHL: {token.SHR}, token.SHR: {token.SHL},
		token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN},
		token.MUL_ASSIGN: {token.QUO_ASSIGN}, token.QUO_ASSIGN: {token.MUL_ASSIGN},
		token.OR_ASSIGN: {token.AND_ASSIGN}, token.AND_ASSIGN: {token.OR_ASSIGN},
	}[op]
}

// expression adds the mutants of an expression.
func (f *finder) expression(x ast.Expr) {
	switch x := x.(type) {
	case *ast.BinaryExpr:
		f.binary(x)
	case *ast.UnaryExpr:
		if x.Op == token.NOT || x.Op == token.SUB {
			f.add(x, x.Pos(), x.X.Pos(), "")
		}
	case *ast.BasicLit:
		for _, with := range numbers(x) {
			f.add(f.around(x), x.Pos(), x.End(), with)
		}
	case *ast.Ident:
		if with, ok := map[string]string{"true": "false", "false": "true"}[x.Name]; ok {
			f.add(f.around(x), x.Pos(), x.End(), with)
		}
	case *ast.CallExpr:
		if fun, ok := x.Fun.(*ast.Ident); ok && len(x.Args) > 1 {
			if with, ok := map[string]string{"min": "max", "max": "min"}[fun.Name]; ok {
				f.add(x, fun.Pos(), fun.End(), with)
			}
		}
	}
}

// binary exchanges the operator; of a condition of two parts it also leaves out each.
func (f *finder) binary(x *ast.BinaryExpr) {
	if text(x.X) || text(x.Y) {
		return
	}
	var shown ast.Node = x
	if spec, ok := f.parent().(*ast.ValueSpec); ok {
		shown = spec
	}
	for _, op := range replaced(x.Op) {
		f.swapToken(shown, x.OpPos, x.Op, op)
	}
	if x.Op == token.LAND || x.Op == token.LOR {
		f.add(x, x.X.Pos(), x.Y.Pos(), "")
		f.add(x, x.X.End(), x.Y.End(), "")
	}
}

// text reports whether the expression is a text made of parts that are written there, which no operator but + joins.
func text(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BasicLit:
		return x.Kind == token.STRING && len(x.Value) > 2
	case *ast.BinaryExpr:
		return x.Op == token.ADD && (text(x.X) || text(x.Y))
	}
	return false
}

// numbers returns what stands for a number in a mutant: one more, one less, half; for a fraction half and half as
// much again.
func numbers(x *ast.BasicLit) []string {
	switch x.Kind {
	case token.INT:
		n, err := strconv.ParseInt(x.Value, 0, 64)
		if err != nil {
			return nil
		}
		with := []int64{n + 1, n - 1, n / 2}
		switch {
		case n == 0:
			with = with[:1]
		case n < 4:
			with = with[:2]
		}
		var all []string
		for _, n := range with {
			all = append(all, strconv.FormatInt(n, 10))
		}
		return all
	case token.FLOAT:
		n, err := strconv.ParseFloat(x.Value, 64)
		if err != nil {
			return nil
		}
		return []string{strconv.FormatFloat(n*1.5, 'g', -1, 64), strconv.FormatFloat(n/2, 'g', -1, 64)}
	}
	return nil
}

// around returns the nearest node around the one that is visited that shows what it means; of a constant that is its
// name too.
func (f *finder) around(n ast.Node) ast.Node {
	for i, at := range slices.Backward(f.stack) {
		switch at := at.(type) {
		case *ast.ParenExpr, *ast.UnaryExpr:
		case *ast.CallExpr:
			if len(f.show(at)) <= 120 {
				return at
			}
			return n
		case *ast.CaseClause, *ast.BlockStmt, *ast.FuncLit, *ast.CompositeLit, *ast.ForStmt, *ast.IfStmt,
			*ast.SwitchStmt,
			*ast.FuncDecl, *ast.GenDecl:
			return n
		default:
			if spec, ok := f.stack[max(i-1, 0)].(*ast.ValueSpec); ok {
				return spec
			}
			return at
		}
	}
	return n
}

// negate adds the opposite of a condition, unless its operators have mutants of their own.
func (f *finder) negate(cond ast.Expr) {
	switch x := cond.(type) {
	case nil, *ast.BinaryExpr:
	case *ast.UnaryExpr:
		if x.Op != token.NOT {
			f.add(cond, cond.Pos(), cond.End(), "!("+f.show(cond)+")")
		}
	default:
		f.add(cond, cond.Pos(), cond.End(), "!("+f.show(cond)+")")
	}
}

// assign leaves out an assignment, or exchanges its operator; a definition must stay.
func (f *finder) assign(n *ast.AssignStmt) {
	if n.Tok == token.DEFINE {
		return
	}
	for _, op := range replaced(n.Tok) {
		if len(n.Rhs) != 1 || !text(n.Rhs[0]) {
			f.swapToken(n, n.TokPos, n.Tok, op)
		}
	}
	blank := func(x ast.Expr) bool { name, ok := x.(*ast.Ident); return ok && name.Name == "_" }
	if _, calls := n.Rhs[0].(*ast.CallExpr); calls || !slices.ContainsFunc(n.Lhs, blank) || len(n.Lhs) > 1 {
		f.drop(n)
	}
}

// branch leaves out a continue, break or fallthrough, and exchanges the first two.
func (f *finder) branch(n *ast.BranchStmt) {
	if n.Tok == token.GOTO {
		return
	}
	f.drop(n)
	if n.Label == nil {
		other := map[token.Token]token.Token{token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK}
		f.swapToken(n, n.TokPos, n.Tok, other[n.Tok])
	}
}

// cases leaves out each case of a switch, and each value of a case of many; a switch without a value has conditions
// to negate.
func (f *finder) cases(body *ast.BlockStmt, conditions bool) {
	outer := f.stack
	defer func() { f.stack = outer }()
	for _, stmt := range body.List {
		clause, ok := stmt.(*ast.CaseClause)
		if !ok {
			continue
		}
		f.clause(clause)
		for i, x := range clause.List {
			if conditions {
				f.negate(x)
			}
			if len(clause.List) > 1 {
				from, to := x.Pos(), x.End()
				if i > 0 {
					from = clause.List[i-1].End()
				} else {
					to = clause.List[1].Pos()
				}
				f.add(&head{clause}, from, to, "")
			}
		}
	}
}

// clause leaves out a case with its statements.
func (f *finder) clause(clause *ast.CaseClause) {
	f.add(&head{clause}, clause.Pos(), clause.End(), "")
	f.found[len(f.found)-1].Becomes = "dropped"
}

// head is the first line of a case.
type head struct{ *ast.CaseClause }

// End returns the place after the colon.
func (h *head) End() token.Pos { return h.Colon + 1 }

// elements leaves out each field of a literal, and each element of a list.
func (f *finder) elements(n *ast.CompositeLit) {
	_, list := n.Type.(*ast.ArrayType)
	for _, x := range n.Elts {
		if _, keyed := x.(*ast.KeyValueExpr); !keyed && !list {
			continue
		}
		// The comma goes with the element.
		rest := string(f.text[f.offset(x.End()):])
		to := x.End()
		if after := strings.TrimLeft(rest, " \t\n"); strings.HasPrefix(after, ",") {
			to += token.Pos(len(rest) - len(after) + 1)
		}
		f.add(x, x.Pos(), to, "")
	}
}
