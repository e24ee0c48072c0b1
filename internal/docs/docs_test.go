package docs

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// shape is what two languages of one page have in common: the levels of its headings, its blocks of code to the letter,
// its commands and names in code font inside tables, and the number of rows and columns of each table.
type shape struct {
	Headings []int
	Code     []string
	Tables   [][]string
}

func shapeOf(t *testing.T, page string) shape {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	var s shape
	var code *strings.Builder
	table := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```") && code == nil:
			code = &strings.Builder{}
		case strings.HasPrefix(line, "```"):
			s.Code = append(s.Code, code.String())
			code = nil
		case code != nil:
			code.WriteString(line)
		case strings.HasPrefix(line, "#"):
			s.Headings = append(s.Headings, len(line)-len(strings.TrimLeft(line, "#")))
		case strings.HasPrefix(line, "|"):
			if !table {
				s.Tables = append(s.Tables, nil)
			}
			last := len(s.Tables) - 1
			s.Tables[last] = append(s.Tables[last], row(line))
		}
		table = strings.HasPrefix(line, "|")
	}
	return s
}

// row is the number of a row's columns, and what stands in code font there, in the order of its first cell:
// translations may reorder words.
func row(line string) string {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	first := regexp.MustCompile("`[^`]+`").FindAllString(cells[0], -1)
	return strings.Repeat("|", len(cells)) + strings.Join(first, " ")
}

// The pages for people who read Chinese say what the English ones say: nobody can check a translation by machine, but
// that nothing was added to one alone, or changed in one alone, shows.
func TestBothLanguagesOfAPageHaveTheSameHeadingsCommandsAndTables(t *testing.T) {
	for english, chinese := range map[string]string{"README.md": "README.zh-CN.md",
		"docs/use.md": "docs/use.zh-CN.md"} {
		t.Run(english, func(t *testing.T) {
			want := shapeOf(t, english)
			if len(want.Headings) < 5 || len(want.Code) < 3 || len(want.Tables) < 1 {
				t.Fatalf("%s has %d headings, %d blocks of code and %d tables: is it still that page?", english,
					len(want.Headings),
					len(want.Code), len(want.Tables))
			}
			if diff := cmp.Diff(want, shapeOf(t, chinese)); diff != "" {
				t.Errorf("%s differs (-%s +%s):\n%s", chinese, english, chinese, diff)
			}
		})
	}
}

func TestTheFrontPageIsShort(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n >= 120 {
		t.Errorf("README.md has %d lines, fewer than 120 are allowed: move what a newcomer does not need to docs", n)
	}
}

// TestLinesOfPagesFitAnEditor: rows of tables cannot be broken, code is what a program printed, and Chinese has no
// blanks to break at.
func TestLinesOfPagesFitAnEditor(t *testing.T) {
	const most = 120
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(page string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() &&
			(entry.Name() == "testdata" || entry.Name() != "." && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case !strings.HasSuffix(page, ".md") || strings.HasSuffix(page, ".zh-CN.md"):
			return nil
		}
		text, err := fs.ReadFile(root, page)
		if err != nil {
			return err
		}
		code := false
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			if !code && !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > most {
				t.Errorf("%s:%d has %d columns, more than %d", page, i+1, utf8.RuneCountInString(line), most)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
