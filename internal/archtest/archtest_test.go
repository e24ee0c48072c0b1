package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestImports(t *testing.T) {
	graph, err := Load(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, present := range []string{Module + "/internal/mesh", Module + "/api/v1beta1",
		"k8s.io/apimachinery/pkg/runtime"} {
		if _, ok := graph[present]; !ok {
			t.Errorf("%s is not in the graph, so it proves nothing", present)
		}
	}
	for _, rule := range ImportRules() {
		t.Run(rule.Name, func(t *testing.T) { none(t, rule.Check(graph)) })
	}
}

func TestSources(t *testing.T) {
	check := func(dir string, rules []SourceRule, nested func(string) bool) {
		packages, err := Walk(dir, nested)
		if err != nil {
			t.Fatal(err)
		}
		if len(packages) < 5 {
			t.Fatalf("found only %d packages in %s", len(packages), dir)
		}
		for _, rule := range rules {
			t.Run(rule.Name+" in "+dir, func(t *testing.T) {
				for _, p := range packages {
					none(t, rule.Check(p))
				}
			})
		}
	}
	check(root, SourceRules(), func(dir string) bool { return dir == "lab" })
	check(filepath.Join(root, "lab"), SizeRules(), func(string) bool { return false })
}

func none(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

// Every import rule must find its breach in a graph that has one, and nothing in the graph beside it that is only
// similar.
func TestImportRulesFindBreaches(t *testing.T) {
	in := func(path string) string { return Module + "/internal/" + path }
	cases := []struct {
		name, rule string
		graph      Graph
		want       []string
	}{
		{"a pure package reaches Kubernetes through a library", "pure packages reach no Kubernetes library",
			Graph{in("target/x"): {"example.com/a", "fmt"}, "example.com/a": {"k8s.io/api/core/v1"},
				in("control"): {"k8s.io/api/core/v1"}},
			[]string{in("target/x") + " -> example.com/a -> k8s.io/api/core/v1"}},
		{"a pure package logs through another of ours", "pure packages do no I/O and do not log",
			Graph{in("mesh"): {in("probe")}, in("probe"): {"log/slog"}},
			[]string{in("mesh") + " -> " + in("probe") + " -> log/slog"}},
		{"a pure package opens files", "pure packages do no I/O and do not log",
			Graph{in("stats"): {"os"}}, []string{in("stats") + " -> os"}},
		{"fmt imports os, and a library may log", "pure packages do no I/O and do not log",
			Graph{in("stats"): {"fmt", "example.com/cron"}, "fmt": {"os"}, "example.com/cron": {"log"}}, nil},
		{"a name that only begins alike is another package", "pure packages do no I/O and do not log",
			Graph{in("stats"): {"logic/rules"}, in("statsd"): {"os"}}, nil},
		{"a prober reaches Kubernetes", "what measures and what answers reaches no Kubernetes library",
			Graph{in("probe/httpprobe"): {"sigs.k8s.io/yaml"}, in("load"): {"net/http"}},
			[]string{in("probe/httpprobe") + " -> sigs.k8s.io/yaml"}},
		{"the loop reaches a prober", "what probers and the responder are built on knows no other package of ours",
			Graph{in("epoll"): {"golang.org/x/sys/unix", in("probe")}, in("engine"): {in("epoll")}},
			[]string{in("epoll") + " -> " + in("probe")}},
		{"a prober reaches the responder, as its contract may", "probers know no responder",
			Graph{in("engine"): {in("load")}, in("load"): {in("responder")}, in("probe/probetest"): {in("responder")}},
			[]string{in("engine") + " -> " + in("load") + " -> " + in("responder")}},
		{"the responder reaches a prober", "the responder knows no prober",
			Graph{in("responder"): {in("echo"), in("probe/httpprobe")}},
			[]string{in("responder") + " -> " + in("probe/httpprobe")}},
		{"one adapter imports another, by a detour", "adapters do not import each other",
			Graph{in("cli"): {in("wire")}, in("wire"): {in("store/folder")}, in("store"): {in("store/folder")}},
			[]string{in("cli") + " -> " + in("wire") + " -> " + in("store/folder")}},
		{"the conductor joins adapters", "adapters do not import each other",
			Graph{in("controller"): {in("round")}, in("round"): {in("store")}}, nil},
		{"the agent's program reaches the client", "the agent reaches no Kubernetes client",
			Graph{Module + "/cmd/agent": {in("x")}, in("x"): {"k8s.io/client-go/rest"}, Module +
				"/cmd/controller": {"k8s.io/client-go/rest"}},
			[]string{Module + "/cmd/agent -> " + in("x") + " -> k8s.io/client-go/rest"}},
		{"the agent's package reaches the types", "the agent reaches no Kubernetes client",
			Graph{in("agent/responder"): {"k8s.io/apimachinery/pkg/types"}},
			[]string{in("agent/responder") + " -> k8s.io/apimachinery/pkg/types"}},
		{"a program reaches the oracle", "the oracle supports tests alone",
			Graph{Module + "/cmd/controller": {in("x")}, in("x"): {in("oracle")}, in("oracle"): {in("churn")}, Module +
				"/test/oracle": {in("oracle")}},
			[]string{Module + "/cmd/controller -> " + in("x") + " -> " + in("oracle"), in("x") + " -> " +
				in("oracle")}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, rule := range ImportRules() {
				if rule.Name == c.rule {
					for _, f := range rule.Check(c.graph) {
						got = append(got, strings.TrimPrefix(f, rule.Name+": "))
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGraphWithAPackageThatCannotBeLoadedIsAnError(t *testing.T) {
	_, err := parse(strings.NewReader(`{"ImportPath":"a"}{"ImportPath":"b","Error":{"Err":"no such package"}}`))
	if err == nil || !strings.Contains(err.Error(), "load b") {
		t.Errorf("got %v", err)
	}
}

// Every source rule must find exactly the breaches of its bad example, and no rule may find anything in the others.
func TestSourceRulesFindBreaches(t *testing.T) {
	cases := []struct {
		dir  string
		want []string
	}{
		{"initfunc", []string{"initfunc/bad.go:8"}},
		{"variable", []string{"variable/bad.go:17", "variable/bad.go:20", "variable/bad.go:21"}},
		{"name/util", []string{"name/util"}},
		{"clause", []string{"clause"}},
		{"comment", []string{"comment"}},
		{"generated", nil},
		{"internal/folder", []string{"internal/folder"}},
		{"internal/mesh", []string{"internal/mesh/bad.go:9", "internal/mesh/bad.go:11", "internal/mesh/bad.go:13"}},
		{"internal/infer", []string{"internal/infer/bad.go:4", "internal/infer/bad.go:8", "internal/infer/bad.go:12"}},
	}
	for _, c := range cases {
		t.Run(c.dir, func(t *testing.T) {
			p, err := parseFolder(filepath.Join("testdata", c.dir), c.dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, places(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// places runs all rules and returns where they found something.
func places(p Package) []string {
	var all []string
	for _, rule := range SourceRules() {
		for _, f := range rule.Check(p) {
			where, _, _ := strings.Cut(f, ": ")
			all = append(all, where)
		}
	}
	return all
}

func TestLengths(t *testing.T) {
	// body has the first line and the last around the lines within.
	body := func(lines int) string { return "func f() {\n" + strings.Repeat("\t_ = 0\n", lines-2) + "}\n" }
	head := func(name string) string { return "// Package x is an example.\npackage " + name + "\n\n" }
	cases := []struct {
		name, file, text string
		want             []string
	}{
		{"a function of 100 lines", "x.go", head("x") + body(100), nil},
		{"a function of 101 lines", "x.go", head("x") + body(101), []string{"x/x.go:4"}},
		{"a file of 400 lines", "x.go", head("x") + strings.Repeat("\n", 397), nil},
		{"a file of 401 lines", "x.go", head("x") + strings.Repeat("\n", 398), []string{"x/x.go"}},
		{"a main.go of 60 lines", "main.go", head("main") + strings.Repeat("\n", 57), nil},
		{"a main.go of 61 lines", "main.go", head("main") + strings.Repeat("\n", 58), []string{"x/main.go"}},
		{"another file beside main.go", "wiring.go", head("main") + strings.Repeat("\n", 58), nil},
		{"a generated file may be long", "x.go", "// Code generated by x. DO NOT EDIT.\n\n" + head("x") + body(500),
			nil},
		{"a test may be long", "x_test.go", head("x") + body(500), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := parseFolder(dir, "x")
			if err != nil {
				t.Fatal(err)
			}
			if p.Name == "" {
				p.documented = true
			}
			if diff := cmp.Diff(c.want, places(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The Makefile tests the pure packages without the race detector.
func TestMakefileNamesThePurePackages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nPURE := " + strings.Join(Pure(), " ") + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("the Makefile has no line %q", strings.TrimSpace(want))
	}
}

// An entry that nothing needs any more would let a new variable of that name pass.
func TestListOfConstantsIsCurrent(t *testing.T) {
	for _, entry := range constants() {
		dir, name := filepath.Split(entry)
		p, err := parseFolder(filepath.Join(root, dir), "elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(variables(p), "\n"); !strings.Contains(found, "package variable "+name+";") {
			t.Errorf("%s is listed and not there", entry)
		}
	}
}

func TestWalkLeavesOutWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	for _, at := range []string{"a", "a/testdata/b", ".build/c", "lab/d", "e/lab"} {
		if err := os.MkdirAll(filepath.Join(dir, at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, at, "x.go"), fmt.Appendf(nil, "package x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := Walk(dir, func(d string) bool { return d == "lab" })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range packages {
		got = append(got, p.Dir)
	}
	if diff := cmp.Diff([]string{"a", "e/lab"}, got); diff != "" {
		t.Error(diff)
	}
}
