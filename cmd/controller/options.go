package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"kdoctor.io/kdoctor/internal/kube/leader"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/version"
	"kdoctor.io/kdoctor/internal/workload"
)

// When something is made in front of the default agents.
const (
	onDemand = "OnDemand"
	always   = "Always"
	never    = "Never"
)

// options are the controller's flags. It reads nothing else, but for where the cluster is and how much memory there is.
type options struct {
	namespace string
	// pod is the name of the controller's own pod, empty outside a cluster.
	pod string
	// manifests is the folder with those of the default agents.
	manifests string
	hostPorts string
	ports     workload.Range
	// loadBalancer and ingress are when these are made in front of the default agents, frontKeep how long they stay.
	loadBalancer, ingress string
	frontKeep             time.Duration
	// ipv4 and ipv6 are whether it is tested over these.
	ipv4, ipv6 string

	// reports is where they are kept, maxSize how large they may be together, as a quantity such as 900Mi.
	reports, maxSize string
	retention        store.Retention

	// hostAgents is the DaemonSet of the agents in the nodes' host networks, dns the Service of the cluster's DNS as
	// namespace/name; either may be empty.
	hostAgents, dns string

	limits limits
	// nodeCondition is what is done about the condition of nodes.
	nodeCondition string

	apiPort     int
	apiService  string
	register    bool
	healthPort  int
	metricsPort int
	elect       bool

	// record is the folder for what findings are made from; empty for none.
	record string

	level, format string
	logLevel      slog.Level
}

func defaults() *options {
	return &options{
		manifests: "/etc/kdoctor/agents", hostPorts: "21000-21999",
		loadBalancer: onDemand, ingress: onDemand, frontKeep: 10 * time.Minute,
		ipv4: string(workload.Auto), ipv6: string(workload.Auto),
		reports: "/var/lib/kdoctor/reports", maxSize: "0",
		dns:    "kube-system/kube-dns",
		limits: defaultLimits(), nodeCondition: never,
		retention: store.Retention{MaxRounds: 1000, MaxAge: 30 * 24 * time.Hour},
		apiPort:   8443, apiService: "kdoctor-controller", register: true, healthPort: 5722, metricsPort: 5721, elect: true,
		level: "info", format: "json",
	}
}

// flagSet are the flags, with what is in the options as their defaults.
func (o *options) flagSet() (flags *pflag.FlagSet, version *bool) {
	flags = pflag.NewFlagSet("kdoctor-controller", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.StringVar(&o.namespace, "namespace", o.namespace, "namespace of the installation: agents, Services, "+
		"Ingress, Secrets and the leader's lease")
	flags.StringVar(&o.pod, "pod", o.pod, "name of the controller's own pod, which is given the label "+
		leader.Label+" while it leads; empty gives none")
	flags.StringVar(&o.manifests, "agent-manifests", o.manifests, "folder with the manifests of the default agents: "+
		"daemonset.yaml, service.yaml, loadbalancer.yaml and ingress.yaml")
	flags.StringVar(&o.loadBalancer, "load-balancer", o.loadBalancer, "when the default agents have Services of type "+
		"LoadBalancer: OnDemand (while a task asks for them), Always or Never")
	flags.StringVar(&o.ingress, "ingress", o.ingress, "when the default agents have an Ingress: OnDemand, Always or "+
		"Never")
	flags.DurationVar(&o.frontKeep, "front-keep", o.frontKeep, "how long such a Service or Ingress stays after the "+
		"last task that asks for it")
	flags.StringVar(&o.ipv4, "ipv4", o.ipv4, "whether agents have a Service for IPv4: auto (where the cluster gives "+
		"IPv4 addresses to Services), true or false")
	flags.StringVar(&o.ipv6, "ipv6", o.ipv6, "the same for IPv6")
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
	flags.StringVar(&o.hostAgents, "host-agents", o.hostAgents, "DaemonSet of the agents in the nodes' host networks; "+
		"empty when there is none")
	flags.StringVar(&o.dns, "dns-service", o.dns, "Service of the cluster's DNS, as namespace/name; empty probes no "+
		"DNS server by its own address")
	o.limits.flags(flags)
	flags.StringVar(&o.nodeCondition, "node-condition", o.nodeCondition, "what is done about the condition "+
		"KdoctorNetworkProblem of nodes: Never leaves it alone, Set keeps it by what rounds find, Clear takes it away "+
		"from all nodes")
	flags.IntVar(&o.apiPort, "api-port", o.apiPort, "port of the aggregated API")
	flags.StringVar(&o.apiService, "api-service-name", o.apiService, "name of the aggregated API's Service, which is "+
		"also that of the controller's Deployment")
	flags.BoolVar(&o.register, "register-api", o.register, "whether an APIService leads to the aggregated API, and is "+
		"given the CA bundle")
	flags.IntVar(&o.healthPort, "health-port", o.healthPort, "port of /healthz and /readyz")
	flags.IntVar(&o.metricsPort, "metrics-port", o.metricsPort, "port of /metrics")
	flags.BoolVar(&o.elect, "leader-elect", o.elect, "whether several controllers agree on one that runs rounds")
	flags.StringVar(&o.record, "record-dir", o.record, "folder for what the findings of each round are made from, to "+
		"make them again elsewhere, 1,000 rounds at most; empty writes nothing")
	flags.StringVar(&o.level, "log-level", o.level, "least level that is logged: debug, info, warn or error")
	flags.StringVar(&o.format, "log-format", o.format, "form of the log: json or text")
	version = flags.Bool("version", false, "print the release and end")
	return flags, version
}

func (o *options) parse(args []string, out io.Writer) error {
	flags, asked := o.flagSet()
	flags.SetOutput(out)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *asked {
		fmt.Fprintln(out, version.Line("kdoctor-controller"))
		return pflag.ErrHelp
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
		{"--namespace", o.namespace}, {"--agent-manifests", o.manifests}, {"--report-url", o.reports},
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
	for _, mode := range []struct{ flag, value string }{{"--load-balancer", o.loadBalancer}, {"--ingress", o.ingress}} {
		if !slices.Contains([]string{onDemand, always, never}, mode.value) {
			refuse("%s is %q; use %s, %s or %s", mode.flag, mode.value, onDemand, always, never)
		}
	}
	for _, use := range []struct{ flag, value string }{{"--ipv4", o.ipv4}, {"--ipv6", o.ipv6}} {
		if !slices.Contains([]workload.Use{workload.Auto, workload.Yes, workload.No}, workload.Use(use.value)) {
			refuse("%s is %q; use auto, true or false", use.flag, use.value)
		}
	}
	if o.ipv4 == string(workload.No) && o.ipv6 == string(workload.No) {
		refuse("--ipv4 and --ipv6 are both false, which leaves no IP family to test over; use auto or true for one")
	}
	if o.frontKeep < 0 {
		refuse("--front-keep is %s; use a time such as 10m, or 0", o.frontKeep)
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
	if err := checkNodeCondition(o.nodeCondition); err != nil {
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

func (o *options) logger(out io.Writer) logr.Logger {
	how := &slog.HandlerOptions{Level: o.logLevel}
	if o.format == "text" {
		return logr.FromSlogHandler(slog.NewTextHandler(out, how))
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(out, how))
}
