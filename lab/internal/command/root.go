// Package command is the lab's command line: it turns arguments into values and hands them to the packages that act.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/build"
	"kdoctor.io/kdoctor/lab/internal/cluster"
	"kdoctor.io/kdoctor/lab/internal/packages"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// app is what all commands share.
type app struct {
	out, progress io.Writer
	name, source  string
}

// Root returns the command "lab". Results go to out, what is going on to progress.
func Root(out, progress io.Writer) *cobra.Command {
	a := &app{out: out, progress: progress}
	root := &cobra.Command{
		Use:   "lab",
		Short: "A real Kubernetes cluster of several nodes on one machine, without a container engine",
		Long: `lab runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler, and as many nodes as you want, each with a containerd,
a kubelet and a kube-proxy in a network namespace of its own. Nothing in it can reach anything outside of the machine.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(progress)
	root.PersistentFlags().StringVar(&a.name, "name", "lab", "name of the lab; labs of different names do not touch "+
		"each other")
	root.PersistentFlags().StringVar(&a.source, "source", "", "folder of the lab's sources (default: looked for from "+
		"the current folder upwards)")
	root.AddCommand(a.build(), a.up(), a.apiserver(), a.down(), a.status(), a.kubeconfig(), a.load(), a.exec(), a.env(),
		a.fault())
	root.AddCommand(a.runPage(), a.runHold(), a.runBurn())
	root.AddCommand(a.daemons()...)
	return root
}

func (a *app) build() *cobra.Command {
	return &cobra.Command{
		Use: "build", Short: "Build what the lab runs: Kubernetes, CoreDNS, Helm; once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := build.Default()
			if err != nil {
				return err
			}
			source, err := a.findSource()
			if err != nil {
				return fmt.Errorf("%w; run this within the project, or say --source", err)
			}
			did, err := build.Builder{Source: source, Cache: cache, Progress: a.progress}.Build(cmd.Context())
			if err == nil && !did {
				fmt.Fprintf(a.out, "everything is built: %s\n", cache.Bin())
			}
			return err
		},
	}
}

func (a *app) findSource() (string, error) {
	if a.source != "" {
		return a.source, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	return build.Source(dir)
}

func (a *app) up() *cobra.Command {
	s := plan.Settings{}
	cmd := &cobra.Command{
		Use: "up", Short: "Bring a lab up", Args: cobra.NoArgs,
		Example: "  lab up --nodes 3 --families dual\n  lab up --name second --families ipv6 --proxy-mode iptables " +
			"--overlay none",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bringUp(cmd.Context(), s) },
	}
	flags := cmd.Flags()
	flags.IntVar(&s.Nodes, "nodes", 3, fmt.Sprintf("number of nodes, 1 to %d; 0 is an API server alone", plan.MaxNodes))
	flags.StringVar(&s.Families, "families", plan.DualStack, "address families: dual, ipv4 or ipv6")
	flags.StringVar(&s.Overlay, "overlay", plan.OverlayVXLAN, "how pods' packets travel between nodes: vxlan or none "+
		"(plain routes)")
	flags.StringVar(&s.ProxyMode, "proxy-mode", plan.ProxyNFTables, "mode of kube-proxy: nftables or iptables")
	return cmd
}

func (a *app) apiserver() *cobra.Command {
	return &cobra.Command{
		Use: "apiserver", Short: "Bring up etcd and kube-apiserver alone, for tests of the API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bringUp(cmd.Context(),
				plan.Settings{Families: plan.DualStack, Overlay: plan.OverlayVXLAN, ProxyMode: plan.ProxyNFTables})
		},
	}
}

func (a *app) bringUp(ctx context.Context, s plan.Settings) error {
	s.Name = a.name
	if err := s.Validate(); err != nil {
		return err
	}
	lab, err := a.newLab(s)
	if err != nil {
		return err
	}
	if err := lab.Up(ctx, func(ctx context.Context) error { return a.prepare(ctx, lab.Cache) }); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "export KUBECONFIG=%s\n", lab.State.Kubeconfig())
	return nil
}

// prepare sees to it that the machine has what the lab runs.
func (a *app) prepare(ctx context.Context, cache build.Cache) error {
	if err := packages.Ensure(ctx, a.progress); err != nil {
		return err
	}
	source, err := a.findSource()
	if err != nil {
		if cache.Usable() {
			return nil
		}
		return fmt.Errorf("nothing is built yet, and there is nothing to build from: %w; run this within the "+
			"project, or say --source", err)
	}
	_, err = build.Builder{Source: source, Cache: cache, Progress: a.progress}.Build(ctx)
	return err
}

func (a *app) newLab(s plan.Settings) (*cluster.Lab, error) {
	cache, err := build.Default()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the lab's own program: %w", err)
	}
	return cluster.New(s, cache, self, a.progress), nil
}

// find returns the lab as it was brought up.
func (a *app) find() (*cluster.Lab, state.Record, error) {
	lab, err := a.newLab(plan.Settings{})
	if err != nil {
		return nil, state.Record{}, err
	}
	return cluster.Find(a.name, lab.Cache, lab.Self, a.progress)
}

func (a *app) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Take a lab down with everything that belongs to it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := plan.ValidName(a.name); err != nil {
				return err
			}
			lab, err := a.newLab(plan.Settings{Name: a.name})
			if err != nil {
				return err
			}
			was, err := lab.Down(cmd.Context())
			if err != nil {
				return err
			}
			if !was {
				fmt.Fprintf(a.progress, "there is no lab %q\n", a.name)
				return nil
			}
			fmt.Fprintf(a.progress, "the lab %q is down\n", a.name)
			return nil
		},
	}
}

// errFormat is returned for an output format that is none.
var errFormat = errors.New("formats are table and json")
