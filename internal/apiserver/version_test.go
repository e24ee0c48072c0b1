package apiserver

import (
	"strconv"
	"strings"
	"testing"
)

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"", "0", "007", "18446744073709551615", "18446744073709551616", "-1", "+1", "1_0",
		"0x1", " 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, version string) {
		v, err := parseVersion(version)
		if err != nil || version == "" {
			return
		}
		if digits := strings.TrimLeft(version, "0"); digits != strings.TrimLeft(strconv.FormatUint(v, 10), "0") {
			t.Errorf("%q reads as %d", version, v)
		}
	})
}
