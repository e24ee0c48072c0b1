package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"kdoctor.io/kdoctor/bench/internal/fleet"
	"kdoctor.io/kdoctor/bench/internal/rig"
)

// Options are what a measurement needs.
type Options struct {
	Nodes int
	// Faults are measured one after the other, with the same controller.
	Faults []fleet.Fault
	// Heartbeat is how many rounds of a heartbeat are measured in place of the faults; 0 is none.
	Heartbeat int
	// Memory is the controller's limit of memory in bytes; 0 is the chart's, and less is none.
	Memory int64
	// Limit bounds each round.
	Limit time.Duration
	Seed  uint64
	// Kubeconfig is the lab's; the others are paths of programs, and of the chart's folder.
	Kubeconfig, Kubectl, Helm, Chart, Controller, Plugin string
	// Progress is told what is done.
	Progress io.Writer `json:"-"`
}

// bed is everything that a measurement stands on.
type bed struct {
	options    Options
	folder     string
	reports    string
	cluster    *cluster
	raw        rest.Interface
	agents     *simulation
	chart      deployment
	group      *cgroup
	controller *process
	log        *tail
}

// Measure runs the rounds in this network namespace, which has a fresh API server without anything in it, and calls
// done for each.
func Measure(ctx context.Context, o Options, done func(Result) error) (err error) {
	if err := rig.Claim(fleet.Prefix()); err != nil {
		return err
	}
	b := &bed{options: o, log: &tail{}}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.lay(ctx); err != nil {
		return err
	}
	if o.Heartbeat > 0 {
		r, err := b.heartbeat(ctx, o.Heartbeat)
		if err != nil {
			return err
		}
		return done(r)
	}
	for _, fault := range o.Faults {
		b.say("%d nodes, %s", o.Nodes, fault)
		if b.alive() != nil {
			if err := b.startController(ctx); err != nil {
				return err
			}
		}
		r, err := b.round(ctx, fault)
		if err != nil {
			return err
		}
		if err := done(r); err != nil {
			return err
		}
	}
	if !canRefuse(o.Nodes) {
		return nil
	}
	b.say("%d nodes, a plan that cannot fit", o.Nodes)
	r, err := b.refused(ctx)
	if err != nil {
		return err
	}
	return done(r)
}

func (b *bed) say(format string, args ...any) {
	fmt.Fprintf(b.options.Progress, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// lay makes the cluster and starts the processes.
func (b *bed) lay(ctx context.Context) (err error) {
	if b.folder, err = os.MkdirTemp("", "kdoctor-scale-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	b.reports = filepath.Join(b.folder, "reports")
	tlsDir := filepath.Join(b.folder, "tls")
	if err := errors.Join(os.Mkdir(tlsDir, 0o700), os.Mkdir(b.reports, 0o700)); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if b.cluster, err = connect(b.options.Kubeconfig, b.folder); err != nil {
		return err
	}
	if b.raw, err = rawClient(b.cluster.config); err != nil {
		return err
	}
	b.say("%d nodes: installing the chart, making nodes and pods", b.options.Nodes)
	if err := b.cluster.install(ctx, b.options.Helm, b.options.Chart); err != nil {
		return err
	}
	if err := b.cluster.fill(ctx, b.options.Nodes); err != nil {
		return err
	}
	if b.chart, err = b.cluster.deployment(ctx); err != nil {
		return err
	}
	if err := b.startController(ctx); err != nil {
		return err
	}
	if err := b.cluster.certificates(ctx, tlsDir); err != nil {
		return err
	}
	b.agents, err = startAgents(ctx, b.options.Nodes, b.options.Seed, tlsDir, b.folder, b.options.Progress)
	return err
}

// startController starts the controller as the chart does, and waits until it serves.
func (b *bed) startController(ctx context.Context) error {
	limit := b.options.Memory
	if limit == 0 {
		limit = b.chart.limit
	}
	var err error
	if b.group == nil {
		if b.group, err = newCgroup(fmt.Sprintf("kdoctor-scale-%d", os.Getpid()), max(0, limit)); err != nil {
			return err
		}
	}
	manifests := filepath.Join(b.folder, "manifests")
	if err := os.MkdirAll(manifests, 0o700); err != nil {
		return err
	}
	if err := b.cluster.manifests(ctx, manifests); err != nil {
		return err
	}
	args := append([]string{}, b.chart.args...)
	args = append(args, "--report-url="+b.reports, "--agent-manifests="+manifests,
		fmt.Sprintf("--max-requests-per-agent=%d", mostPerAgent(b.options.Nodes)))
	if n := b.options.Heartbeat; n > 0 {
		args = append(args, fmt.Sprintf("--report-max-rounds=%d", keptOf(n)))
	}
	b.controller, err = start(b.group, b.log, append(b.chart.env, "KUBECONFIG="+b.cluster.kubeconfig),
		b.options.Controller, args...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = until(ctx, func() error {
		if err := b.alive(); err != nil {
			cancel()
			return err
		}
		return b.raw.Get().AbsPath(reportsPath).Param("limit", "1").Do(ctx).Error()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("wait for the aggregated API: %w", err), b.lastWords())
	}
	return nil
}

// close ends the processes and removes what they left.
func (b *bed) close() error {
	b.controller.stop()
	if b.agents != nil {
		b.agents.stop()
	}
	return errors.Join(b.group.remove(), os.RemoveAll(b.folder))
}

// unversioned is the configuration of a client for requests without a kind.
func unversioned(config *rest.Config) *rest.Config {
	c := rest.CopyConfig(config)
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return c
}
