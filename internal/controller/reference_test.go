package controller

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/docs"
)

var update = flag.Bool("update", false, "write conditions and reasons into docs/reference.md")

// The page says of every condition and reason what its comment says.
func TestTheReferenceHasEveryConditionAndReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for name, about := range map[string]string{"conditions": "The types of conditions.",
		"reasons": "The reasons of conditions and events."} {
		var text strings.Builder
		fmt.Fprintf(&text, "| %s | |\n|---|---|\n", strings.TrimSuffix(name, "s"))
		rows := 0
		for _, declared := range file.Decls {
			group, ok := declared.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || !strings.HasPrefix(group.Doc.Text(), about) {
				continue
			}
			for _, spec := range group.Specs {
				constant, _ := spec.(*ast.ValueSpec)
				says := strings.Join(strings.Fields(constant.Doc.Text()), " ")
				if says == "" {
					t.Errorf("%s has no comment", constant.Names[0].Name)
				}
				name := constant.Names[0].Name
				fmt.Fprintf(&text, "| `%s` | %s |\n", name, strings.TrimPrefix(says, name+" "))
				rows++
			}
		}
		if rows == 0 {
			t.Fatalf("no %s were found", name)
		}
		docs.CheckSection(t, "../../docs/reference.md", name, text.String(), *update)
	}
}
