package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// options are the controller's flags. It reads nothing else, but for where the cluster is and how much memory there is.
type options struct {
	namespace string
	workload  string
	services  []string
	ingress   string
	hostPorts string
	ports     workload.Range

	// reports is where they are kept, maxSize how large they may be together, as a quantity such as 900Mi.
	reports, maxSize string
	retention        store.Retention

	limits limits

	apiPort     int
	apiService  string
	healthPort  int
	metricsPort int
	elect       bool

	level, format string
	logLevel      slog.Level
}

func defaults() *options {
	return &options{
		workload:  "kdoctor-agent",
		hostPorts: "21000-21999",
		reports:   "/var/lib/kdoctor/reports", maxSize: "0",
		limits:    defaultLimits(),
		retention: store.Retention{MaxRounds: 1000, MaxAge: 30 * 24 * time.Hour},
		apiPort:   8443, apiService: "kdoctor-controller", healthPort: 5722, metricsPort: 5721, elect: true,
		level: "info", format: "json",
	}
}

func (o *options) parse(args []string, out io.Writer) error {
	flags := pflag.NewFlagSet("kdoctor-controller", pflag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.namespace, "namespace", o.namespace, "namespace of the installation: agents, Services, "+
		"Ingress, Secrets and the leader's lease")
	flags.StringVar(&o.workload, "agent-workload", o.workload, "name of the DaemonSet of the default agents")
	flags.StringSliceVar(&o.services, "agent-services", o.services, "names of the agents' Services, one for each IP "+
		"family, ending in -ipv4 and -ipv6")
	flags.StringVar(&o.ingress, "agent-ingress", o.ingress, "name of the agents' Ingress; empty when there is none")
	flags.StringVar(&o.hostPorts, "host-ports", o.hostPorts, "ports of the nodes from which agents of a task's own "+
		"get theirs when they use the nodes' network")
	flags.StringVar(&o.reports, "report-url", o.reports, "where reports are kept: a path, file:///a/folder, or "+
		"s3://bucket/prefix?endpoint=...&region=...&use_path_style=true with the credentials in AWS_ACCESS_KEY_ID "+
		"and AWS_SECRET_ACCESS_KEY")
	flags.StringVar(&o.reports, "report-dir", o.reports, "the same as --report-url")
	flags.IntVar(&o.retention.MaxRounds, "report-max-rounds", o.retention.MaxRounds,
		"how many reports of each task are kept; 0 is no limit")
	flags.DurationVar(&o.retention.MaxAge, "report-max-age", o.retention.MaxAge,
		"how long a report is kept that is not its task's latest; 0 is no limit")
	flags.StringVar(&o.maxSize, "report-max-size", o.maxSize, "how large all reports may be together, such as 900Mi; "+
		"the oldest that are not their task's latest go first; 0 is no limit")
	o.limits.flags(flags)
	flags.IntVar(&o.apiPort, "api-port", o.apiPort, "port of the aggregated API")
	flags.StringVar(&o.apiService, "api-service-name", o.apiService, "name of the aggregated API's Service, which is "+
		"also that of the controller's Deployment")
	flags.IntVar(&o.healthPort, "health-port", o.healthPort, "port of /healthz and /readyz")
	flags.IntVar(&o.metricsPort, "metrics-port", o.metricsPort, "port of /metrics")
	flags.BoolVar(&o.elect, "leader-elect", o.elect, "whether several controllers agree on one that runs rounds")
	flags.StringVar(&o.level, "log-level", o.level, "least level that is logged: debug, info, warn or error")
	flags.StringVar(&o.format, "log-format", o.format, "form of the log: json or text")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there are no arguments, only flags; found %q", flags.Args())
	}
	return nil
}

func (o *options) validate() error {
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	for _, required := range []struct{ flag, value string }{
		{"--namespace", o.namespace}, {"--agent-workload", o.workload}, {"--report-url", o.reports},
		{"--api-service-name", o.apiService},
	} {
		if required.value == "" {
			refuse("%s is empty", required.flag)
		}
	}
	seen := map[int]bool{}
	for _, port := range []struct {
		flag  string
		value int
	}{{"--api-port", o.apiPort}, {"--health-port", o.healthPort}, {"--metrics-port", o.metricsPort}} {
		if port.value < 1 || port.value > 65535 || seen[port.value] {
			refuse("%s is %d; use a port from 1 to 65535 that no other flag names", port.flag, port.value)
		}
		seen[port.value] = true
	}
	for _, service := range o.services {
		if !strings.HasSuffix(service, "-ipv4") && !strings.HasSuffix(service, "-ipv6") {
			refuse("--agent-services names %q; use names that end in -ipv4 or -ipv6", service)
		}
	}
	var err error
	if o.ports, err = workload.ParseRange(o.hostPorts); err != nil {
		refuse("--host-ports: %w", err)
	}
	if err := store.CheckLocation(o.reports); o.reports != "" && err != nil {
		refuse("--report-url: %w", err)
	}
	if size, err := resource.ParseQuantity(o.maxSize); err != nil || size.Sign() < 0 {
		refuse("--report-max-size is %q; use a number of bytes such as 900Mi, or 0 for no limit", o.maxSize)
	} else {
		o.retention.MaxBytes = size.Value()
	}
	if o.retention.MaxRounds < 0 || o.retention.MaxAge < 0 {
		refuse("--report-max-rounds and --report-max-age must not be negative")
	}
	if err := o.limits.validate(); err != nil {
		wrong = append(wrong, err)
	}
	if o.format != "json" && o.format != "text" {
		refuse("--log-format is %q; use json or text", o.format)
	}
	if err := o.logLevel.UnmarshalText([]byte(o.level)); err != nil {
		refuse("--log-level is %q; use debug, info, warn or error", o.level)
	}
	return errors.Join(wrong...)
}

// agents names the workload of the default agents.
func (o *options) agents() topology.Workload {
	return topology.Workload{Kind: topology.DaemonSet, Name: o.workload, Services: o.services, Ingress: o.ingress}
}

func (o *options) logger(out io.Writer) logr.Logger {
	how := &slog.HandlerOptions{Level: o.logLevel}
	if o.format == "text" {
		return logr.FromSlogHandler(slog.NewTextHandler(out, how))
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(out, how))
}
