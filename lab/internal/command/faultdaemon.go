package command

import (
	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/fault"
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
