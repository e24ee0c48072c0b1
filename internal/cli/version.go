package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/version"
)

// releaseAPI is the description of the aggregated API, which names the controller's release.
const releaseAPI = "/openapi/v3" + reportAPI

// releases are the releases of the programs, as the command prints them for programs.
type releases struct {
	Client string `json:"client"`
	// Controller is empty when it is not known.
	Controller string `json:"controller,omitempty"`
}

func newVersion(config *genericclioptions.ConfigFlags, screen Screen) *cobra.Command {
	output, clientOnly := "", false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the releases of the plugin and of the controller",
		Long: `Print the release of the plugin and, where it can be reached, that of the controller.
The exit status is 2 when the controller's release cannot be found out; --client does not ask for it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := releases{Client: version.Release()}
			var missing error
			if !clientOnly {
				found.Controller, missing = controllerRelease(cmd.Context(), config, screen)
			}
			if err := found.print(screen, output); err != nil {
				return err
			}
			return missing
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "print the plugin's release alone")
	cmd.Flags().StringVarP(&output, "output", "o", "", "print an object instead: json or yaml")
	return cmd
}

// controllerRelease asks the aggregated API for the release of the controller.
func controllerRelease(ctx context.Context, config *genericclioptions.ConfigFlags, screen Screen) (string, error) {
	api, err := newClient(config, screen.Err)
	if err != nil {
		return "", err
	}
	raw, err := api.get(ctx, releaseAPI)
	if err != nil {
		return "", fmt.Errorf("the controller's release is not known: %w", explain(err, kinds.All()[0]))
	}
	var read struct {
		Info struct {
			Version string `json:"version"`
		} `json:"info"`
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return "", fmt.Errorf("the controller's release cannot be read: %w", err)
	}
	if read.Info.Version == "" {
		return "", errors.New("the controller does not tell its release; it is of 0.1.0 or earlier")
	}
	return read.Info.Version, nil
}

func (r releases) print(screen Screen, output string) error {
	var text []byte
	var err error
	switch output {
	case "":
		text = fmt.Appendf(nil, "plugin      %s\n", r.Client)
		if r.Controller != "" {
			text = fmt.Appendf(text, "controller  %s\n", r.Controller)
		}
	case "json":
		text, err = json.MarshalIndent(r, "", "    ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(r)
	default:
		return fmt.Errorf("-o %s is unknown; use json or yaml", output)
	}
	if err != nil {
		return fmt.Errorf("encode the releases: %w", err)
	}
	if _, err := screen.Out.Write(text); err != nil {
		return fmt.Errorf("write the releases: %w", err)
	}
	return nil
}
