package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	cases := []struct {
		name, code string
		want       []string
	}{
		{"a bound is moved and turned", "_ = a < b", []string{"a < b -> a <= b", "a < b -> a >= b"}},
		{"equality is negated", "_ = a == b", []string{"a == b -> a != b"}},
		{"a condition of two parts loses each", "_ = x && y",
			[]string{"x && y -> x || y", "x && y -> y", "x && y -> x"}},
		{"a number is one more, one less, half", "b := a(8)", []string{"a(8) -> a(9)", "a(8) -> a(7)", "a(8) -> a(4)"}},
		{"zero is only one more", "b := a(0)", []string{"a(0) -> a(1)"}},
		{"a fraction is half as much again, or half", "b := a(0.5)",
			[]string{"a(0.5) -> a(0.75)", "a(0.5) -> a(0.25)"}},
		{"a number is shown with its constant", "const c = 1 * a", []string{
			"c = 1 * a -> c = 1 / a", "c = 1 * a -> c = 2 * a", "c = 1 * a -> c = 0 * a"}},
		{"a text is no number to subtract from", `_ = "a: " + a`, nil},
		{"a call is dropped", "a()", []string{"a() -> dropped"}},
		{"a log is left alone", "log.Info(1 < 2)", nil},
		{"a logger with values is left alone", "log.FromContext(ctx).Info(1)", nil},
		{"an assignment is dropped, a definition is not", "b := a; b = c", []string{"b = c -> dropped"}},
		{"a sum is turned and dropped", "b += c", []string{"b += c -> b -= c", "b += c -> dropped"}},
		{"a condition that is a call is negated", "if a() {}", []string{"a() -> !(a())"}},
		{"a negation goes", "if !x {}", []string{"!x -> x"}},
		{"an early return is dropped, the last is not", "if x { return }; return",
			[]string{"x -> !(x)", "return -> dropped"}},
		{"continue is dropped and becomes break", "for { continue }",
			[]string{"continue -> dropped", "continue -> break"}},
		{"a case is dropped, and each of its values", "switch a { case b, c: }",
			[]string{"case b, c: -> dropped", "case b, c: -> case c:", "case b, c: -> case b:"}},
		{"a case with a condition is negated too", "switch { case x: }", []string{"case x: -> dropped", "x -> !(x)"}},
		{"a field is dropped", "_ = a{b: c}", []string{"b: c -> dropped"}},
		{"an element of a list is dropped", "_ = []int{a, b}", []string{"a -> dropped", "b -> dropped"}},
		{"a truth is turned", "_ = true", []string{"_ = true -> _ = false"}},
		{"the least becomes the most", "b := min(a, b)", []string{"min(a, b) -> max(a, b)"}},
		{"what a select waits for stays", "select { case c <- a: b() }", []string{"b() -> dropped"}},
		{"what only gives back stays", "defer f.Close(); defer b()", []string{"defer b() -> dropped"}},
		{"the second of two like mutants has a number", "a(); a()", []string{"a() -> dropped", "a() -> dropped #2"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := read("x.go", []byte("package x\n\nfunc f() {\n"+c.code+"\n}\n"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range s.find() {
				got = append(got, m.Was+" -> "+m.Becomes)
				if m.Func != "f" || m.Line != 4 {
					t.Errorf("%s is said to be in line %d of %s", m, m.Line, m.Func)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The tests of the sample miss its bounds and a field.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-n", "0", "./testdata/sample"}, &out); err != nil {
		t.Fatal(err)
	}
	want := `kdoctor.io/kdoctor/test/mutation/testdata/sample: 27 mutants, a sample of 27 with seed 1
survived   test/mutation/testdata/sample/sample.go:8 Fits: n >= 0 -> n > 0
survived   test/mutation/testdata/sample/sample.go:8 Fits: n >= 0 -> n >= 1
survived   test/mutation/testdata/sample/sample.go:8 Fits: n <= most -> n < most
survived   test/mutation/testdata/sample/sample.go:36 first: full: true -> dropped
survived   test/mutation/testdata/sample/sample.go:36 first: full: true -> full: false
survived   test/mutation/testdata/sample/sample.go:4 -: most = 10 -> most = 5
survived   test/mutation/testdata/sample/sample.go:4 -: most = 10 -> most = 9
kdoctor.io/kdoctor/test/mutation/testdata/sample: killed 17 of 24 that matter (70.8 %); 0 of the killed timed out, 0 equivalents survived, 3 did not compile
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestReasons(t *testing.T) {
	cases := []struct {
		name, text string
		want       map[string]string
		refused    bool
	}{
		{"a mutant with its reason", "# head\n\na.go f: x -> y\n  it is so\n",
			map[string]string{"a.go f: x -> y": "it is so"}, false},
		{"a mutant without a reason is refused", "a.go f: x -> y\nb.go f: x -> y\n  it is so\n", nil, true},
		{"a last mutant without a reason is refused", "a.go f: x -> y\n", nil, true},
		{"a reason without a mutant is refused", "  it is so\n", nil, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := reasons(c.text)
			if (err != nil) != c.refused {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range []string{"", "a b", "-n -1 a", "-j 0 a", "-x a"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
