package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
)

func TestWarningsReachTheClient(t *testing.T) {
	m := three()
	m.breakRound("u-a", errors.New("line one\nline two"))
	m.store("u-b", roundtest.Shape{Agents: 30, Dead: -1})
	config := open(t, m)
	const base = "/apis/system.kdoctor.io/v1beta1/"
	cases := map[string]struct{ path, accept, want string }{
		"a list without a report": {base + "kdoctorreports", asJSON,
			`1 reports are left out: netreach-a; the first one because of: latest round of netreach-a: line one line two`},
		"a table without a report": {base + "kdoctorreports", asJSON + tableV1, `1 reports are left out: netreach-a;`},
		"the first paths of many": {base + "kdoctorpaths?fieldSelector=report%3Dnetreach-b", asJSON,
			`these are the first 500 paths of the report`},
		"a page of paths":     {base + "kdoctorpaths?fieldSelector=report%3Dnetreach-b&limit=500", asJSON, ""},
		"a report that reads": {base + "kdoctorreports/netreach-b", asJSON, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			code, headers, _ := ask(t, config, test.path, http.Header{"Accept": {test.accept}})
			told := headers.Get("Warning")
			if code != http.StatusOK || !strings.Contains(told, test.want) || (told == "") != (test.want == "") {
				t.Errorf("got %d with the warning %q, want %q", code, told, test.want)
			}
		})
	}
}

func TestWarningsNameTheFirstFew(t *testing.T) {
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprint("r", i))
	}
	if got, want := some(names), "r0, r1, r2, r3, r4 and 7 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := some(names[:2]), "r0, r1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
