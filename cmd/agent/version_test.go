package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/version"
)

func TestVersionNeedsNothingElse(t *testing.T) {
	var out bytes.Buffer
	_ = run(t.Context(), []string{"--version"}, &out, io.Discard)
	if want := "kdoctor-agent " + version.Release(); !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
