// Package cluster drives a Kubernetes of the lab the way a person would: with the lab, helm and kubectl programs.
// The demo and the end-to-end scenarios share it.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Namespace is where the chart is installed.
const Namespace = "kdoctor"

// Config says which cluster and what to put on it.
type Config struct {
	// Name is the lab's name.
	Name string
	// Build is the folder with bin/ and images/, as make build and make images leave it.
	Build string
	// Chart is the chart's folder.
	Chart string
	// Version is the tag of the images.
	Version string
	// Values are set at every installation, such as agent.loadBalancer.mode=Always.
	Values []string
	// Progress receives what long-running programs print; nil drops it.
	Progress io.Writer
}

// Cluster is one lab cluster.
type Cluster struct {
	config Config
	// environment is set once the cluster is up.
	environment environment
}

// environment is where the cluster's programs and credentials are.
type environment struct {
	Kubeconfig string `json:"kubeconfig"`
	Bin        string `json:"bin"`
}

// New returns a cluster that is not up yet.
func New(config Config) *Cluster {
	if config.Progress == nil {
		config.Progress = io.Discard
	}
	return &Cluster{config: config}
}

// Error is a program that failed, with the last of what it printed.
type Error struct {
	Command string
	Output  string
	Err     error
}

// Error names the command, its fate and its output.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v\n%s", e.Command, e.Err, e.Output) }

// Unwrap returns the fate of the command.
func (e *Error) Unwrap() error { return e.Err }

// Up brings the cluster up, or finds it up. Further arguments are the lab's own, such as --families.
func (c *Cluster) Up(ctx context.Context, nodes int, args ...string) error {
	args = append([]string{"up", "--name", c.config.Name, "--nodes", strconv.Itoa(nodes)}, args...)
	if err := c.lab(ctx, args...); err != nil {
		return err
	}
	out, err := c.output(ctx, nil, c.program("lab"), "env", "--name", c.config.Name, "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &c.environment); err != nil {
		return fmt.Errorf("read what lab env printed: %w", err)
	}
	return nil
}

// Down takes the cluster down.
func (c *Cluster) Down(ctx context.Context) error {
	return c.lab(ctx, "down", "--name", c.config.Name)
}

// LoadImages puts the images on every node.
func (c *Cluster) LoadImages(ctx context.Context) error {
	images := filepath.Join(c.config.Build, "images")
	return c.Load(ctx, filepath.Join(images, "agent.tar"), filepath.Join(images, "controller.tar"))
}

// Load puts images, by their files, on every node.
func (c *Cluster) Load(ctx context.Context, images ...string) error {
	return c.lab(ctx, append([]string{"load", "--name", c.config.Name}, images...)...)
}

// Release is the same cluster, with another release to install.
func (c *Cluster) Release(chart, version string, values ...string) *Cluster {
	other := *c
	other.config.Chart, other.config.Version, other.config.Values = chart, version, values
	return &other
}

// Install installs or upgrades the chart and waits until everything of it is ready. Further arguments are helm's own,
// such as --set.
func (c *Cluster) Install(ctx context.Context, args ...string) error {
	return c.InstallOnly(ctx, append([]string{"--wait", "--timeout", "120s"}, args...)...)
}

// InstallOnly installs or upgrades the chart, and waits for nothing.
func (c *Cluster) InstallOnly(ctx context.Context, args ...string) error {
	all := []string{"upgrade", "--install", "kdoctor", c.config.Chart, "--namespace", Namespace, "--create-namespace"}
	// Uninstalling is to leave nothing, so that the next test begins without tasks.
	values := []string{"agent.image.tag=" + c.config.Version, "controller.image.tag=" + c.config.Version,
		"crds.keep=false"}
	for _, value := range append(values, c.config.Values...) {
		all = append(all, "--set", value)
	}
	_, err := c.Helm(ctx, append(all, args...)...)
	return err
}

// Helm runs helm and returns what it printed.
func (c *Cluster) Helm(ctx context.Context, args ...string) (string, error) {
	return c.output(ctx, nil, filepath.Join(c.environment.Bin, "helm"), args...)
}

// Kubectl runs kubectl and returns what it printed on its standard output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.output(ctx, nil, c.KubectlPath(), args...)
}

// Apply applies a manifest.
func (c *Cluster) Apply(ctx context.Context, manifest string) (string, error) {
	return c.output(ctx, strings.NewReader(manifest), c.KubectlPath(), "apply", "-f", "-")
}

// Get reads one object, or a list, into out.
func (c *Cluster) Get(ctx context.Context, out any, args ...string) error {
	text, err := c.Kubectl(ctx, append(append([]string{"get"}, args...), "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("read what kubectl get %s printed: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Exec runs a command in the network of a node.
func (c *Cluster) Exec(ctx context.Context, node string, command ...string) (string, error) {
	args := append([]string{"exec", "--name", c.config.Name, node, "--"}, command...)
	return c.output(ctx, nil, c.program("lab"), args...)
}

// Kubeconfig is the path of a kubeconfig that works from this machine.
func (c *Cluster) Kubeconfig() string { return c.environment.Kubeconfig }

// KubectlPath is where the cluster's kubectl is.
func (c *Cluster) KubectlPath() string { return filepath.Join(c.environment.Bin, "kubectl") }

// Bin is the folder of the cluster's kubectl and helm.
func (c *Cluster) Bin() string { return c.environment.Bin }

// Program runs one of our own programs against the cluster and returns what it printed, also when it failed.
func (c *Cluster) Program(ctx context.Context, name string, args ...string) (string, error) {
	return c.output(ctx, nil, c.program(name), args...)
}

func (c *Cluster) program(name string) string { return filepath.Join(c.config.Build, "bin", name) }

// lab runs the lab program with its progress shown.
func (c *Cluster) lab(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, c.program("lab"), args...)
	cmd.Stdout, cmd.Stderr = c.config.Progress, c.config.Progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (c *Cluster) output(ctx context.Context, in io.Reader, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, all bytes.Buffer
	cmd.Stdin = in
	cmd.Stdout = io.MultiWriter(&out, &all)
	cmd.Stderr = &all
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.environment.Kubeconfig)
	if err := cmd.Run(); err != nil {
		return out.String(), &Error{Command: filepath.Base(program) + " " + strings.Join(args, " "),
			Output: all.String(), Err: err}
	}
	return out.String(), nil
}
