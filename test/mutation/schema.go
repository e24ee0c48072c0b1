package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// variable is the environment variable that names the mutant to switch on, by its number; numbers begin at one.
const variable = "KDOCTOR_MUTANT"

// selector is the source of a file that the instrumented package has beside its own.
const selector = `package %s

import (
	"os"
	"strconv"
)

var kdoctorMutant = func() int { n, _ := strconv.Atoi(os.Getenv("` + variable + `")); return n }()
`

// A variant is one mutant in an instrumented file: the copy of its function stands in the lines first..last.
type variant struct {
	id          int
	mutant      Mutant
	first, last int
}

// switchable reports whether the mutant can be a copy of its function that is called in place of it.
func (s *source) switchable(m Mutant) bool {
	if m.fn == nil || m.fn.Body == nil || slices.Contains([]string{"init", "main", "_"}, m.fn.Name.Name) {
		return false
	}
	// A copy is one call further from who defers it, so it has nothing to recover.
	return !strings.Contains(s.show(m.fn.Body), "recover()") &&
		(m.fn.Doc == nil || !strings.Contains(s.show(m.fn.Doc), "//go:"))
}

// instrument returns the file with a copy of its function for each mutant, and in each such function a jump to the
// copy that is switched on. The lines of the file keep their numbers; the copies follow. It notes in the variants
// where they are.
func (s *source) instrument(variants []*variant) []byte {
	type edit struct {
		at, to int
		with   string
	}
	var edits []edit
	jumps := map[*ast.FuncDecl][]*variant{}
	for _, v := range variants {
		jumps[v.mutant.fn] = append(jumps[v.mutant.fn], v)
	}
	for fn, all := range jumps {
		call, names := s.call(fn)
		for _, n := range names {
			edits = append(edits, edit{n.at, n.to, n.name})
		}
		var jump strings.Builder
		jump.WriteString(" if kdoctorMutant != 0 { switch kdoctorMutant {")
		for _, v := range all {
			fmt.Fprintf(&jump, " case %d: %s;", v.id, strings.ReplaceAll(call, "\x00", name(v.id, fn)))
			if fn.Type.Results == nil {
				jump.WriteString(" return;")
			}
		}
		jump.WriteString(" }};")
		at := s.offset(fn.Body.Lbrace) + 1
		edits = append(edits, edit{at, at, jump.String()})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at - b.at })
	var out bytes.Buffer
	done := 0
	for _, e := range edits {
		out.Write(s.text[done:e.at])
		out.WriteString(e.with)
		done = e.to
	}
	out.Write(s.text[done:])
	for _, v := range variants {
		out.WriteString("\n")
		v.first = bytes.Count(out.Bytes(), []byte("\n")) + 1
		out.Write(s.copied(v))
		v.last = bytes.Count(out.Bytes(), []byte("\n")) + 1
	}
	out.WriteString("\n")
	return out.Bytes()
}

func name(id int, fn *ast.FuncDecl) string { return fmt.Sprintf("kdoctorMutant%d%s", id, fn.Name.Name) }

// copied returns the function with the change, under a name of its own.
func (s *source) copied(v *variant) []byte {
	fn := v.mutant.fn
	changed := v.mutant.apply(s.text)
	from, to := s.offset(fn.Pos()), s.offset(fn.End())+len(changed)-len(s.text)
	at := s.offset(fn.Name.Pos())
	return []byte(string(changed[from:at]) + name(v.id, fn) + string(changed[at+len(fn.Name.Name):to]))
}

// renamed is a parameter that gets a name, so that it can be handed on.
type renamed struct {
	at, to int
	name   string
}

// call returns the statement that calls a copy of the function, whose name is a zero byte in it, with the function's
// own parameters, and the names that parameters need for that.
func (s *source) call(fn *ast.FuncDecl) (string, []renamed) {
	var names []renamed
	count := 0
	of := func(list *ast.FieldList) []string {
		var all []string
		if list == nil {
			return nil
		}
		for _, field := range list.List {
			dots := ""
			if _, ok := field.Type.(*ast.Ellipsis); ok {
				dots = "..."
			}
			given := func(at, to token.Pos, space string) {
				count++
				n := fmt.Sprintf("kdoctorParam%d", count)
				names = append(names, renamed{s.offset(at), s.offset(to), n + space})
				all = append(all, n+dots)
			}
			if len(field.Names) == 0 {
				given(field.Type.Pos(), field.Type.Pos(), " ")
			}
			for _, n := range field.Names {
				if n.Name == "_" {
					given(n.Pos(), n.End(), "")
					continue
				}
				all = append(all, n.Name+dots)
			}
		}
		return all
	}
	text := "\x00"
	if fn.Recv != nil {
		text = of(fn.Recv)[0] + ".\x00"
	} else if types := of(fn.Type.TypeParams); len(types) > 0 {
		text += "[" + strings.Join(types, ", ") + "]"
	}
	text += "(" + strings.Join(of(fn.Type.Params), ", ") + ")"
	if fn.Type.Results != nil {
		text = "return " + text
	}
	return text, names
}
