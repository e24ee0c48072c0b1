package ingress

import (
	"net/url"
	"strings"
	"testing"
)

func FuzzEscaped(f *testing.F) {
	for _, path := range []string{"/", "/kdoctoragent", "/a%20b", "/a b", "/x?y#z", "/foo(/|$)(.*)", "/%zz", "//host/x",
		"/ä", "/a\x00b"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		path = "/" + path
		got := escaped(path)
		u, err := url.Parse("http://host.example" + got)
		if err != nil || u.Host != "host.example" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q became %q, which reads as %+v, %v", path, got, u, err)
		}
		if got != path && u.Path != path {
			t.Errorf("%q was escaped to %q, which leads to %q", path, got, u.Path)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			t.Errorf("%q holds what cannot stand in a request line", got)
		}
	})
}
