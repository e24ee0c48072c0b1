package command

import (
	"time"

	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/fault"
	"kdoctor.io/kdoctor/lab/internal/hold"
)

// runPage is the daemon of faults by which the Ingress answers by itself.
func (a *app) runPage() *cobra.Command {
	port, status, ready := 0, 0, ""
	cmd := &cobra.Command{
		Use: "run-page", Short: "Answer HTTP requests with one page", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fault.ServePage(cmd.Context(), port, status, ready)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&port, "port", 0, "port to listen on")
	flags.IntVar(&status, "status", 200, "HTTP status of the answers")
	flags.StringVar(&ready, "ready", "", "file to make when the daemon listens")
	return cmd
}

// runHold is the daemon of faults by which packets come late.
func (a *app) runHold() *cobra.Command {
	c, ready := hold.Config{}, ""
	cmd := &cobra.Command{
		Use: "run-hold", Short: "Hold the packets of a netfilter queue", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return hold.Run(cmd.Context(), c, func() error { return fault.MarkReady(ready) })
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.Queue, "queue", 0, "number of the queue")
	flags.DurationVar(&c.Delay, "delay", 50*time.Millisecond, "how long packets are held")
	flags.DurationVar(&c.Jitter, "jitter", 0, "largest random time more")
	flags.Float64Var(&c.Share, "share", 1, "share of packets that are held")
	flags.StringVar(&ready, "ready", "", "file to make when packets are held")
	return cmd
}

// runBurn is the daemon of the fault by which an agent lacks CPU.
func (a *app) runBurn() *cobra.Command {
	cgroup, ready := "", ""
	cmd := &cobra.Command{
		Use: "run-burn", Short: "Use all CPU of a cgroup", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return fault.Burn(cmd.Context(), cgroup, ready) },
	}
	cmd.Flags().StringVar(&cgroup, "cgroup", "", "folder of the cgroup")
	cmd.Flags().StringVar(&ready, "ready", "", "file to make when it begins")
	return cmd
}
