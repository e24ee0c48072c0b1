package command

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/cloud"
	"kdoctor.io/kdoctor/lab/internal/cluster"
	"kdoctor.io/kdoctor/lab/internal/gate"
	"kdoctor.io/kdoctor/lab/internal/ingress"
	"kdoctor.io/kdoctor/lab/internal/multus"
	"kdoctor.io/kdoctor/lab/internal/packages"
	"kdoctor.io/kdoctor/lab/internal/pki"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// daemons are the commands by which the lab starts itself; each runs in the namespace where its data path is.
func (a *app) daemons() []*cobra.Command {
	table := []struct {
		use, short string
		run        func(context.Context, *cluster.Lab, plan.Settings) error
	}{
		{"serve", "Carry connections from the machine to the API server", runGate},
		{"run-cloud", "Serve Services of type LoadBalancer", runCloud},
		{"run-ingress", "Serve Ingresses", runIngress},
		{"run-multus", "Write pods' networks into their annotations", runMultus},
	}
	var commands []*cobra.Command
	for _, d := range table {
		commands = append(commands, &cobra.Command{
			Use: d.use, Short: d.short, Hidden: true, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				// The record is there before any daemon is.
				lab, record, err := a.find()
				if err != nil {
					return err
				}
				return d.run(cmd.Context(), lab, record.Settings)
			},
		})
	}
	return commands
}

// inherited is the descriptor of the listener that "up" made in the machine's namespace.
const inherited = 3

func runGate(ctx context.Context, _ *cluster.Lab, s plan.Settings) error {
	file := os.NewFile(inherited, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("take over the listener: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("take over the listener: %w", err)
	}
	return gate.Serve(ctx, listener, s.APIServer())
}

func runCloud(ctx context.Context, lab *cluster.Lab, s plan.Settings) error {
	haproxy, err := packages.Program("haproxy")
	if err != nil {
		return err
	}
	dir, err := dataPath(lab.State, plan.LoadBalancer)
	if err != nil {
		return err
	}
	cfg := cloud.Config{
		Kubeconfig: lab.State.UserKubeconfig(pki.Admin), Interface: "eth0", StateDir: dir, HAProxy: haproxy,
		ClusterName: s.Name,
	}
	for _, pool := range s.Pools() {
		if pool.Addr().Is4() {
			cfg.PoolV4 = pool
			continue
		}
		cfg.PoolV6 = pool
	}
	return cloud.Run(ctx, cfg)
}

func runIngress(ctx context.Context, lab *cluster.Lab, s plan.Settings) error {
	nginx, err := packages.Program("nginx")
	if err != nil {
		return err
	}
	dir, err := dataPath(lab.State, plan.Ingress)
	if err != nil {
		return err
	}
	var addresses []netip.Addr
	for _, h := range s.Others() {
		for _, a := range h.Addresses {
			if h.Name == plan.Ingress {
				addresses = append(addresses, a.Addr())
			}
		}
	}
	return ingress.Run(ctx, ingress.Config{
		Kubeconfig: lab.State.UserKubeconfig(pki.Admin), Addresses: addresses, StateDir: dir, Nginx: nginx,
		Class: "nginx",
	})
}

func runMultus(ctx context.Context, lab *cluster.Lab, s plan.Settings) error {
	var dirs []string
	for _, n := range s.ClusterNodes() {
		dirs = append(dirs, lab.State.NetStatus(n.Name))
	}
	return multus.Run(ctx, multus.Config{Kubeconfig: lab.State.UserKubeconfig(pki.Admin), StatusDirs: dirs})
}

func dataPath(folder state.Folder, host string) (string, error) {
	dir := folder.Node(host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of %s: %w", host, err)
	}
	return dir, nil
}
