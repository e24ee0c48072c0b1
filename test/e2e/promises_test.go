package e2e

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPromisesAreHeldByTestsThatExist keeps docs/promises.md honest: each Go test that it names exists, and it names
// each scenario of the life cycle.
func TestPromisesAreHeldByTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	root := os.DirFS("../..")
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(root, path)
		for _, found := range declared.FindAllSubmatch(source, -1) {
			exists[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(text), -1)
	if len(named) == 0 {
		t.Error("the document names no test")
	}
	for _, name := range named {
		if !exists[name] {
			t.Errorf("the document names %s, which does not exist", name)
		}
	}
	for _, lanes := range append(lifeCycle(), longLife()...) {
		for _, lane := range lanes {
			for _, s := range lane {
				if !strings.Contains(string(text), s.name) {
					t.Errorf("the document does not name the scenario %q", s.name)
				}
			}
		}
	}
}
