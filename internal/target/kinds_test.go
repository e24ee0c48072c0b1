package target_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/target"
)

// constants are the values of all constants of the type Kind, from the source.
func constants(t *testing.T) []target.Kind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []target.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); ok && of.Name == "Kind" {
			for _, v := range spec.Values {
				text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, target.Kind(text))
			}
		}
		return true
	})
	return kinds
}

func TestEveryKindHasARowAFieldARuleAndADoc(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	limits, reference, use := read("charts/kdoctor/files/kinds.cel"), read("docs/netreach.md"),
		read("docs/use.md")
	kinds := constants(t)
	if len(kinds) != len(target.Kinds()) {
		t.Fatalf("%d constants, %d rows", len(kinds), len(target.Kinds()))
	}
	for _, kind := range kinds {
		row := kind.Traits()
		if row.Field == "" {
			t.Errorf("%s has no row in the table of kinds", kind)
			continue
		}
		if !strings.Contains(limits, fmt.Sprintf("object.spec.?target.?%s.orValue(%t)", row.Field, row.Default)) {
			t.Errorf("%s: the policy on loads does not count spec.target.%s", kind, row.Field)
		}
		if want := fmt.Sprintf("| `spec.target.%s` | boolean | `%t` |", row.Field,
			row.Default); !strings.Contains(reference, want) {
			t.Errorf("%s: the API's default of spec.target.%s is not %t", kind, row.Field, row.Default)
		}
		if !row.Direct && (row.Component == "" || row.Chooser == "" || !strings.Contains(use, "`"+row.Title+"`")) {
			t.Errorf("%s: no component, nothing that chooses, or docs/use.md does not explain %q", kind, row.Title)
		}
	}
}

func TestProxied(t *testing.T) {
	cases := []struct {
		name string
		to   target.Target
		want bool
	}{
		{"a load balancer is a proxy", target.Target{Kind: target.LoadBalancer}, true},
		{"a load balancer's address that the node answers for meets no proxy",
			target.Target{Kind: target.LoadBalancer, ShortCircuit: true}, false},
		{"an Ingress is a proxy", target.Target{Kind: target.Ingress}, true},
		{"a Service is not proxied", target.Target{Kind: target.ClusterIP}, false},
		{"a pod address is not proxied", target.Target{Kind: target.Endpoint}, false},
		{"a kind of a later release is taken for none", target.Target{Kind: "Gateway"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.to.Proxied(); got != c.want {
				t.Errorf("proxied is %v", got)
			}
		})
	}
}

func TestMayAnswer(t *testing.T) {
	cases := []struct {
		name string
		to   target.Target
		want target.Answer
	}{
		{"what a target says holds", target.Target{Answer: target.Anyone, Pod: "a"}, target.Anyone},
		{"a pod's target of the first release is the pod's", target.Target{Pod: "a"}, target.OnePod},
		{"any other target of the first release is for the backends", target.Target{}, target.Backends},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.to.MayAnswer(); got != c.want {
				t.Errorf("%s may answer", got)
			}
		})
	}
}

func TestKindsHaveTitles(t *testing.T) {
	for kind, want := range map[target.Kind]string{target.Endpoint: "Pod IP", target.SecondInterface: "2nd interface",
		target.ClusterIP: "ClusterIP",
		target.NodePort:  "NodePort", target.LoadBalancer: "LoadBalancer", target.Ingress: "Ingress",
		"Gateway": "Gateway"} {
		if got := kind.Traits(); got.Title != want || got.Kind != kind {
			t.Errorf("%s is %q of kind %s, want %q", kind, got.Title, got.Kind, want)
		}
	}
}
