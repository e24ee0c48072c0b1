package docs

import (
	"os"
	"strings"
	"testing"
)

// Columns is how long lines of pages are at most.
const Columns = 120

// CheckSection fails the test unless the named section of a page, between the comments "<!-- name: begin -->" and
// "<!-- name: end -->", has the text. With update it writes the text there.
func CheckSection(t testing.TB, page, name, text string, update bool) {
	t.Helper()
	content, err := os.ReadFile(page) // #nosec G304 -- the test names a page of the repository
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	before, rest, found := strings.Cut(string(content), begin)
	had, after, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Errorf("%s has no section %q", page, name)
	case had == text:
	case update:
		if err := os.WriteFile(page, []byte(before+begin+text+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the section %q of %s is not what the code says; run this test with -update", name, page)
	}
}
