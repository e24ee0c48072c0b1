package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/agent"
	"kdoctor.io/kdoctor/internal/echo"
)

func environment(name string) string {
	return map[string]string{"POD_NAME": "kdoctor-agent-a", "POD_UID": "u", "NODE_NAME": "n"}[name]
}

func parsed(t *testing.T, args ...string) *options {
	t.Helper()
	o := defaults(environment)
	if err := o.parse(args, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFlagsAndEnvironmentBecomeOptions(t *testing.T) {
	o := parsed(t, "--installation=kdoctor/kdoctor-agent", "--http-port=81", "--log-level=debug", "--tls-dir=/tls",
		"--log-format=text")
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	want := options{
		ports: agent.Ports{HTTP: 81, Control: 5710, Health: 5711}, tlsDir: "/tls", level: "debug",
		format: "text", check: check{within: time.Minute},
		logLevel: slog.LevelDebug,
		identity: echo.Identity{Installation: "kdoctor/kdoctor-agent", Pod: "kdoctor-agent-a", PodUID: "u", Node: "n"},
	}
	if diff := cmp.Diff(want, *o, cmp.AllowUnexported(options{}, check{})); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestWrongOptionIsNamed(t *testing.T) {
	cases := []struct {
		name   string
		change func(*options)
		named  string
	}{
		{"port 0", func(o *options) { o.ports.Health = 0 }, "--health-port"},
		{"a port beyond 65535", func(o *options) { o.ports.HTTP = 65536 }, "--http-port"},
		{"one port for two servers", func(o *options) { o.ports.Health = o.ports.Control }, "-port"},
		{"no installation", func(o *options) { o.identity.Installation = "" }, "--installation"},
		{"an installation without a namespace", func(o *options) { o.identity.Installation = "/a" }, "--installation"},
		{"an unknown log level", func(o *options) { o.level = "loud" }, "--log-level"},
		{"an unknown form of the log", func(o *options) { o.format = "xml" }, "--log-format"},
		{"no directory of certificates", func(o *options) { o.tlsDir = "" }, "--tls-dir"},
		{"no pod name", func(o *options) { o.identity.Pod = "" }, "POD_NAME"},
		{"a pod name that would break a header", func(o *options) { o.identity.Pod = "a\r\nX: y" }, "POD_NAME"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := parsed(t, "--installation=kdoctor/kdoctor-agent")
			c.change(o)
			err := o.validate()
			if err == nil || !strings.Contains(err.Error(), c.named) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %v, want one that names %s alone", err, c.named)
			}
		})
	}
}

func TestArgumentsThatAreNoFlagsAreRefused(t *testing.T) {
	if err := defaults(environment).parse([]string{"serve"}, &bytes.Buffer{}); err == nil {
		t.Error("accepted")
	}
}
