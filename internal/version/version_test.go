package version

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestRelease(t *testing.T) {
	revision := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}}
	cases := map[string]struct {
		info debug.BuildInfo
		want string
	}{
		"a tagged module is its tag":             {debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "1.2.3"},
		"a tag goes before the commit":           {debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: revision}, "1.2.3"},
		"a build in a work tree is its commit":   {debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: revision}, "devel-0123456789ab"},
		"a build of which nothing is known says": {debug.BuildInfo{}, "devel"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := of(&test.info); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestLineNamesProgramAndRelease(t *testing.T) {
	if got := Line("program"); !strings.HasPrefix(got, "program "+Release()+" (go") {
		t.Errorf("got %q", got)
	}
}
