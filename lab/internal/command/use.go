package command

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"kdoctor.io/kdoctor/lab/internal/cluster"
	"kdoctor.io/kdoctor/lab/internal/fabric"
	"kdoctor.io/kdoctor/lab/internal/node"
	"kdoctor.io/kdoctor/lab/internal/packages"
	"kdoctor.io/kdoctor/lab/internal/pki"
	"kdoctor.io/kdoctor/lab/internal/plan"
)

func (a *app) status() *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use: "status", Short: "Tell how a lab is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--output %q: %w", format, errFormat)
			}
			lab, record, err := a.find()
			if err != nil {
				return err
			}
			s, err := lab.Status(cmd.Context(), record)
			if err != nil {
				return err
			}
			if format == "json" {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return a.printStatus(s)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func (a *app) printStatus(s cluster.Status) error {
	health := "healthy"
	if !s.Healthy {
		health = "broken: " + s.Problem
	}
	fmt.Fprintf(a.out, "lab %s: %s\nnodes %d, families %s, overlay %s, kube-proxy %s\nkubeconfig %s (server "+
		"https://%s)\n\n",
		s.Settings.Name, health, s.Settings.Nodes, s.Settings.Families, s.Settings.Overlay, s.Settings.ProxyMode,
		s.Kubeconfig, s.Server)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tREADY\tADDRESSES\tPODS\tZONE\tNAMESPACE")
	for _, n := range s.Nodes {
		fmt.Fprintln(w, strings.Join([]string{
			n.Name, dash(n.Ready), strings.Join(n.Addresses, ","), dash(strings.Join(n.Pods, ",")), dash(n.Zone),
			n.Namespace,
		}, "\t"))
	}
	fmt.Fprintln(w, "\nDAEMON\tPID\tRUNS\tLOG")
	for _, d := range s.Daemons {
		runs := "yes"
		if !d.Alive {
			runs = "no"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", d.Name, d.PID, runs, d.Log)
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) kubeconfig() *cobra.Command {
	raw := false
	cmd := &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the administrator's kubeconfig", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lab, _, err := a.find()
			if err != nil {
				return err
			}
			if !raw {
				fmt.Fprintln(a.out, lab.State.Kubeconfig())
				return nil
			}
			content, err := os.ReadFile(lab.State.Kubeconfig())
			if err != nil {
				return fmt.Errorf("read the kubeconfig: %w", err)
			}
			_, err = a.out.Write(content)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the kubeconfig itself")
	return cmd
}

func (a *app) load() *cobra.Command {
	return &cobra.Command{
		Use: "load IMAGE.tar...", Short: "Load image archives into every node", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, record, err := a.find()
			if err != nil {
				return err
			}
			for i := range args {
				if args[i], err = filepath.Abs(args[i]); err != nil {
					return fmt.Errorf("find the archive: %w", err)
				}
				if _, err := os.Stat(args[i]); err != nil {
					return fmt.Errorf("find the archive: %w", err)
				}
			}
			group, ctx := errgroup.WithContext(cmd.Context())
			for _, n := range node.All(node.Node{Settings: record.Settings, State: lab.State}) {
				group.Go(func() error { return n.Load(ctx, args...) })
			}
			return group.Wait()
		},
	}
}

func (a *app) exec() *cobra.Command {
	return &cobra.Command{
		Use: "exec HOST -- COMMAND...", Short: "Run a command in the network namespace of a node, or of fabric, lb " +
			"or ingress", Args: cobra.MinimumNArgs(2),
		Example: "  lab exec n1 -- nft list ruleset\n  lab exec fabric -- curl http://198.18.1.1/",
		RunE: func(_ *cobra.Command, args []string) error {
			lab, record, err := a.find()
			if err != nil {
				return err
			}
			namespace, err := namespaceOf(record.Settings, args[0])
			if err != nil {
				return err
			}
			env := append(os.Environ(), "KUBECONFIG="+lab.State.UserKubeconfig(pki.Admin),
				"PATH="+lab.Cache.Bin()+":"+os.Getenv("PATH")+":"+packages.SearchPath)
			if err := os.Setenv("PATH", lab.Cache.Bin()+":"+os.Getenv("PATH")+":"+packages.SearchPath); err != nil {
				return fmt.Errorf("set the search path: %w", err)
			}
			program, err := exec.LookPath(args[1])
			if err != nil {
				return fmt.Errorf("find the command: %w", err)
			}
			// The program takes this one's place, with this thread's namespace, so that signals, terminal and exit
			// status are its own.
			runtime.LockOSThread()
			if err := fabric.Enter(namespace); err != nil {
				return err
			}
			return fmt.Errorf("run %s: %w", program,
				syscall.Exec(program, args[1:], env))
		},
	}
}

func namespaceOf(s plan.Settings, host string) (string, error) {
	var known []string
	for _, h := range s.Others() {
		known = append(known, h.Name)
	}
	for _, n := range s.ClusterNodes() {
		known = append(known, n.Name)
	}
	for _, name := range known {
		if name == host {
			return s.Namespace(host), nil
		}
	}
	return "", fmt.Errorf("there is no host %q in the lab; there are %s", host, strings.Join(known, ", "))
}
