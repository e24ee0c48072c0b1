package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"kdoctor.io/kdoctor/internal/agent"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/version"
)

// options are the agent's flags and environment. The agent's identity comes from the environment, which the pod's own
// fields fill.
type options struct {
	ports    agent.Ports
	tlsDir   string
	logLevel slog.Level
	level    string
	format   string
	identity echo.Identity
	// check is what "helm test" has the program do in place of its work.
	check check
}

func defaults(environment func(string) string) *options {
	return &options{
		ports:  agent.Ports{HTTP: 8080, Control: 5710, Health: 5711},
		tlsDir: "/etc/kdoctor/tls",
		level:  "info",
		format: "json",
		check:  check{within: time.Minute},
		identity: echo.Identity{
			Pod:    environment("POD_NAME"),
			PodUID: environment("POD_UID"),
			Node:   environment("NODE_NAME"),
		},
	}
}

// flagSet are the flags, with what is in the options as their defaults.
func (o *options) flagSet() (flags *pflag.FlagSet, version *bool) {
	flags = pflag.NewFlagSet("kdoctor-agent", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.IntVar(&o.ports.HTTP, "http-port", o.ports.HTTP, "port of the echo responder that other agents probe")
	flags.IntVar(&o.ports.Control, "control-port", o.ports.Control, "port of the control server (gRPC, mutual TLS)")
	flags.IntVar(&o.ports.Health, "health-port", o.ports.Health, "port of /healthz and /readyz")
	flags.StringVar(&o.tlsDir, "tls-dir", o.tlsDir,
		"directory of ca.crt, tls.crt and tls.key, which are read again when they change")
	flags.StringVar(&o.identity.Installation, "installation", o.identity.Installation,
		"installation that this agent belongs to, as <namespace>/<workload>")
	flags.StringVar(&o.level, "log-level", o.level, "least level that is logged: debug, info, warn or error")
	flags.StringVar(&o.format, "log-format", o.format, "form of the log: json or text")
	flags.StringArrayVar(&o.check.addresses, "check", nil, "ask this address until it answers with 200, and end; may be "+
		"repeated, and have alternatives that are divided by |")
	flags.StringVar(&o.check.authority, "check-ca", "", "file with the certificates that --check trusts")
	flags.DurationVar(&o.check.within, "check-within", o.check.within, "time after which --check fails")
	asked := flags.Bool("version", false, "print the release and end")
	return flags, asked
}

func (o *options) parse(args []string, out io.Writer) error {
	flags, asked := o.flagSet()
	flags.SetOutput(out)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *asked {
		fmt.Fprintln(out, version.Line("kdoctor-agent"))
		return pflag.ErrHelp
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there are no arguments, only flags; found %q", flags.Args())
	}
	return nil
}

func (o *options) validate() error {
	var wrong []error
	seen := map[int]bool{}
	for flag, port := range map[string]int{"--http-port": o.ports.HTTP, "--control-port": o.ports.Control,
		"--health-port": o.ports.Health} {
		if port < 1 || port > 65535 || seen[port] {
			wrong = append(wrong,
				fmt.Errorf("%s is %d; use a port from 1 to 65535 that no other flag names", flag, port))
		}
		seen[port] = true
	}
	if namespace, workload, ok := strings.Cut(o.identity.Installation, "/"); !ok || namespace == "" || workload == "" ||
		strings.Contains(workload, "/") {
		wrong = append(wrong, fmt.Errorf("--installation is %q; use <namespace>/<workload>", o.identity.Installation))
	}
	if o.tlsDir == "" {
		wrong = append(wrong, errors.New("--tls-dir is empty"))
	}
	if o.identity.Pod == "" || strings.ContainsAny(o.identity.Pod, " \r\n") {
		wrong = append(wrong,
			fmt.Errorf("environment variable POD_NAME is %q; set it to the pod's name", o.identity.Pod))
	}
	if o.format != "json" && o.format != "text" {
		wrong = append(wrong, fmt.Errorf("--log-format is %q; use json or text", o.format))
	}
	if err := o.logLevel.UnmarshalText([]byte(o.level)); err != nil {
		wrong = append(wrong, fmt.Errorf("--log-level is %q; use debug, info, warn or error", o.level))
	}
	return errors.Join(wrong...)
}

func (o *options) logger(out io.Writer) *slog.Logger {
	how := &slog.HandlerOptions{Level: o.logLevel}
	if o.format == "text" {
		return slog.New(slog.NewTextHandler(out, how))
	}
	return slog.New(slog.NewJSONHandler(out, how))
}
