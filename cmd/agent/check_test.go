package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/responder"
)

func TestCheckAsksUntilEachAddressAnswers(t *testing.T) {
	// An agent's own answers, as a pod of "helm test" gets them.
	plain := httptest.NewServer(responder.NewHandler(echo.Identity{Pod: "kdoctor-agent-a"}))
	defer plain.Close()
	secure := httptest.NewTLSServer(plain.Config.Handler)
	defer secure.Close()
	refused := httptest.NewServer(http.NotFoundHandler())
	defer refused.Close()
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"all answer": {[]string{"--check=" + plain.URL, "--check=" + secure.URL,
			"--check-ca=" + authority}, ""},
		"one of two alternatives answers": {[]string{"--check=" + refused.URL + "|" + plain.URL}, ""},
		"another status":                  {[]string{"--check=" + plain.URL, "--check=" + refused.URL}, "404"},
		"an authority that is not known":  {[]string{"--check=" + secure.URL}, "certificate"},
		"no certificates":                 {[]string{"--check=" + plain.URL, "--check-ca=/nowhere"}, "/nowhere"},
		"no address":                      {[]string{"--check=kdoctor:80"}, "--check is"},
		"no time":                         {[]string{"--check=" + plain.URL, "--check-within=0s"}, "--check-within"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"--check-within=4s"}, c.args...), &out, &out)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("it fails: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want an error that says %q", err, c.says)
			case c.says == "" && !strings.Contains(out.String(), plain.URL+" answers\n"):
				t.Errorf("it prints %q", out.String())
			}
		})
	}
}

// late answers from the fourth request on.
type late struct{ requests int }

func (l *late) RoundTrip(request *http.Request) (*http.Response, error) {
	l.requests++
	status := http.StatusServiceUnavailable
	if l.requests > 3 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: request}, nil
}

func TestCheckWaitsForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, server := time.Now(), &late{}
		answered, err := await(t.Context(), &http.Client{Transport: server}, []string{"http://kdoctor/"})
		if took := time.Since(begin); err != nil || answered != "http://kdoctor/" || took != 3*checkPause {
			t.Errorf("%q after %s, %v", answered, took, err)
		}
	})
}
