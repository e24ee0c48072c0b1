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
	text := namesTestsThatExist(t, "promises.md")
	for _, lanes := range append(lifeCycle(), longLife()...) {
		for _, lane := range lanes {
			for _, s := range lane {
				if !strings.Contains(text, s.name) {
					t.Errorf("the document does not name the scenario %q", s.name)
				}
			}
		}
	}
}

// Each line of docs/platforms.md says how it is known: by a test that exists, or from a document that it names.
func TestWhatPlatformsNeedIsTestedOrReadFromADocument(t *testing.T) {
	known := 0
	for line := range strings.Lines(namesTestsThatExist(t, "platforms.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "|") || len(cells) != 2 || strings.Contains(line, "how it is known") {
			continue
		}
		how := cells[1]
		if strings.Contains(line, "what the pods carry") || strings.HasPrefix(how, "label ") ||
			strings.HasPrefix(how, "annotation ") {
			continue
		}
		known++
		named := strings.Contains(how, " Test") || strings.Contains(how, "the same")
		tested := strings.Contains(how, "tested") && named
		if !tested && !strings.Contains(how, "read: ") && !strings.Contains(how, "read from ") {
			t.Errorf("it is not said how this is known: %s", line)
		}
	}
	if known < 40 {
		t.Errorf("%d lines say how they are known", known)
	}
}

// namesTestsThatExist returns the text of the document in docs, and looks for each test that it names.
func namesTestsThatExist(t *testing.T, document string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
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
	return string(text)
}
