package target_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/target"
)

func TestProtocols(t *testing.T) {
	seen := map[target.Protocol]bool{}
	for _, row := range target.Protocols() {
		if row.Scheme == "" || seen[row.Protocol] {
			t.Errorf("protocol %q has no scheme, or two rows", row.Protocol)
		}
		seen[row.Protocol] = true
		if got, ok := row.Protocol.Speech(); !ok || got != row {
			t.Errorf("%s: got %+v, want %+v", row.Protocol, got, row)
		}
	}
	cases := []struct {
		protocol                    target.Protocol
		secure, persistent, answers bool
	}{
		{target.HTTP, false, true, true},
		{target.HTTPS, true, true, true},
		{target.HTTP2, true, true, true},
		{target.TCP, false, false, false},
		{"", false, true, true},
		{"h3", false, true, true},
	}
	for _, c := range cases {
		to := target.Target{Protocol: c.protocol}
		if to.Secure() != c.secure || to.Persistent() != c.persistent || to.Answers() != c.answers {
			t.Errorf("%q: secure %t, persistent %t, answers %t", c.protocol, to.Secure(), to.Persistent(), to.Answers())
		}
	}
	if _, ok := target.Protocol("h3").Speech(); ok {
		t.Error("a protocol of a later release is spoken")
	}
}
