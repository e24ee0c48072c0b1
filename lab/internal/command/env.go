package command

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/build"
)

// environment is what a shell or another program needs to work with a lab.
type environment struct {
	Kubeconfig string `json:"kubeconfig"`
	Bin        string `json:"bin"`
}

// env prints shell commands by default, because they cannot reach the calling shell otherwise.
func (a *app) env() *cobra.Command {
	format, onlyBin := "", false
	cmd := &cobra.Command{
		Use: "env", Short: `Print the environment for kubectl and helm; use it as eval "$(lab env)"`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cache, err := build.Default()
			if err != nil {
				return err
			}
			if onlyBin {
				fmt.Fprintln(a.out, cache.Bin())
				return nil
			}
			lab, _, err := a.find()
			if err != nil {
				return err
			}
			found := environment{Kubeconfig: lab.State.Kubeconfig(), Bin: cache.Bin()}
			switch format {
			case "shell":
				fmt.Fprintf(a.out, "export KUBECONFIG='%s'\nexport PATH='%s':\"$PATH\"\n", found.Kubeconfig, found.Bin)
				return nil
			case "json":
				return json.NewEncoder(a.out).Encode(found)
			default:
				return fmt.Errorf("--output %q: use shell or json", format)
			}
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "shell", "shell or json")
	cmd.Flags().BoolVar(&onlyBin, "bin", false, "print only the folder of kubectl and helm; no lab needs to be up")
	return cmd
}
