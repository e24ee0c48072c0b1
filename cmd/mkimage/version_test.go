package main

import (
	"bytes"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/version"
)

func TestVersionNeedsNothingElse(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"--version"}, &out); err != nil || !strings.HasPrefix(out.String(),
		"mkimage "+version.Release()) {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
