// Package cli is the kubectl plugin: one file a command. A command turns its arguments into a value, and the value runs
// against writers.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"kdoctor.io/kdoctor/internal/version"
)

// The exit statuses. They are part of the plugin's interface: scripts read them.
const (
	// ExitOK: the round succeeded, or help was asked for.
	ExitOK = 0
	// ExitFailed: the round failed.
	ExitFailed = 1
	// ExitError: there was nothing to judge, such as wrong arguments, no such report, or a cluster out of reach.
	ExitError = 2
)

// errRoundFailed is the result of a command that did its work and found that the round failed. Its output has told
// everything.
var errRoundFailed = errors.New("the round failed")

// Screen is where a command writes to, and what it may do there.
type Screen struct {
	Out, Err io.Writer
	// Width is the number of characters in a line; 0 is without a limit.
	Width int
	// Color reports whether results may be painted.
	Color bool
}

// Run runs the command that the arguments, without the program's name, ask for. It returns the exit status.
func Run(ctx context.Context, args []string, screen Screen) int {
	root := newRoot(screen)
	root.SetArgs(args)
	root.SetOut(screen.Out)
	root.SetErr(screen.Err)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return ExitOK
	case errors.Is(err, errRoundFailed):
		return ExitFailed
	default:
		fmt.Fprintln(screen.Err, "error: "+err.Error())
		return ExitError
	}
}

func newRoot(screen Screen) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-kdoctor",
		Short: "Show what kdoctor found out about the cluster's network",
		// The name under which kubectl runs the plugin.
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kdoctor"},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = version.Release()
	root.SetVersionTemplate(version.Line("kubectl-kdoctor") + "\n")
	config := configFlags()
	config.AddFlags(root.PersistentFlags())
	root.AddCommand(newReport(config, screen), newVersion(config, screen))
	return root
}

// configFlags are kubectl's own flags for choosing a cluster and who asks. The namespace is accepted and means nothing:
// tasks and reports have none.
func configFlags() *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(true)
	flags.CacheDir = nil
	return flags
}
