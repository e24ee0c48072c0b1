// Package version tells which release a program is of.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is linked in by the build: -ldflags "-X kdoctor.io/kdoctor/internal/version.release=0.1.0".
var release string //nolint:gochecknoglobals // the linker can set nothing but a package variable

// Release returns the release that the program was built as, such as 0.1.0. A program that was built without the
// project's build says which commit it is of, or that it is a development build.
func Release() string {
	if release != "" {
		return strings.TrimPrefix(release, "v")
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return development
	}
	return of(info)
}

const development = "devel"

// of returns the release that the Go tools noted.
func of(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return development + "-" + setting.Value[:12]
		}
	}
	return development
}

// Line is what a program prints when it is asked for its version.
func Line(program string) string {
	return fmt.Sprintf("%s %s (%s, %s/%s)", program, Release(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
