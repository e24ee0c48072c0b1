package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/page"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

const reportHelp = `Show the report of a task's last finished round: every path that was probed, from every node, and what to look at next.
The first line is the verdict and the most important reason.

Where the paths are too many for one object, the report has the figures of all of them, the nodes and zones that did not
pass, and the worst paths; --node, --target, --path and --failed ask the cluster for single paths.

TASK is the name of a task. KIND/TASK is understood as well, with the kind as kubectl takes it, and so is the name of
the task's report, KIND-TASK, as long as no task has that very name.

Exit status:
  0  the round succeeded
  1  the round failed: a path did not pass, an agent did not report, or something asked for does not exist
  2  there is nothing to judge: wrong arguments, no such task or round, no finished round, or the cluster or kdoctor's
     part of its API is out of reach

--node, --target, --path and --failed change what is shown, not the exit status.

-o html prints the same as one HTML page that needs no network, for a colleague or a ticket. It shows all of a round,
and is refused with --node, --target, --path and --failed.`

// examples are those of the command for tasks of the kind.
func examples(of kind.Kind) string {
	return fmt.Sprintf(`  # the last round of the %s named "task"
  kubectl kdoctor report task

  # only what failed, only from one node
  kubectl kdoctor report task --failed --node worker-3

  # who reaches one node's ports, and who does not
  kubectl kdoctor report task --target worker-3 --path NodePort

  # an earlier round
  kubectl kdoctor report task --round 3

  # a page to send to a colleague
  kubectl kdoctor report task -o html > report.html

  # the whole object
  kubectl kdoctor report %s/task -o yaml`, of.Name, of.Singular())
}

// reportCommand is what the arguments of "report" ask for.
type reportCommand struct {
	// kinds are the kinds that there are; choices are the tasks that the argument may mean.
	kinds   []kind.Kind
	choices choices
	// kind is the kind of the task that is meant, task its name.
	kind kind.Kind
	task string
	// round is the round to show, 0 the last one.
	round int64
	// output is empty for the readable report, else html, json, yaml or name.
	output string
	// path is the kind of path to show, as it was typed; empty for all.
	path   string
	sheet  sheet.Options
	screen Screen
}

func newReport(config *genericclioptions.ConfigFlags, screen Screen) *cobra.Command {
	c := reportCommand{screen: screen, kinds: kinds.All()}
	noColor := false
	cmd := &cobra.Command{
		Use:     "report TASK",
		Short:   "Show the report of a task's last round",
		Long:    reportHelp,
		Example: examples(usual()),
		Args:    oneTask,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			api, err := newClient(config, screen.Err)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return taskNames(cmd.Context(), api, c.kinds), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.sheet.Color = screen.Color && !noColor
			c.sheet.Width = screen.Width
			c.sheet.Now, c.sheet.Round = time.Now(), c.round
			if err := c.complete(args[0]); err != nil {
				return err
			}
			api, err := newClient(config, screen.Err)
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), api)
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&c.round, "round", 0, "show this round, as long as it is stored, instead of the last one")
	flags.StringVar(&c.sheet.Node, "node", "", "show only what this node's agents measured")
	flags.StringVar(&c.sheet.Target, "target", "", "show only paths to this node, pod or target")
	flags.StringVar(&c.path, "path", "", "show only paths of this kind, such as Endpoint, ClusterIP or NodePort")
	flags.BoolVar(&c.sheet.Failed, "failed", false, "show only what failed")
	flags.BoolVar(&c.sheet.Wide, "wide", false, "show each target on a row of its own, with where its time went and "+
		"who answered, however long the rows get")
	flags.StringVarP(&c.output, "output", "o", "", "print one HTML page instead: html; the KdoctorReport object: json "+
		"or yaml; its name: name; or the same as --wide: wide")
	flags.BoolVar(&noColor, "no-color", false, "do not paint results; NO_COLOR in the environment does the same")
	outputs := []string{"html", "json", "yaml", "name", "wide"}
	for flag, words := range map[string][]string{"output": outputs, "path": pathKinds()} {
		// It fails for a flag that there is not.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// pathKinds are the kinds of path.
func pathKinds() []string {
	var all []string
	for _, row := range target.Kinds() {
		all = append(all, string(row.Kind))
	}
	return all
}

// usual is the kind of a task that is named without its kind.
func usual() kind.Kind { return kinds.All()[0] }

func oneTask(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("report takes the name of one task, and there are %d arguments; kubectl get %s lists the tasks",
		len(args), usual().Singular())
}

// complete reads the argument, and checks what was asked for.
func (c *reportCommand) complete(arg string) error {
	var err error
	if c.choices, err = parseTask(arg, c.kinds); err != nil {
		return err
	}
	if c.round < 0 {
		return fmt.Errorf("--round is %d; use the number of a round, which counts from 1", c.round)
	}
	if err := c.completePath(); err != nil {
		return err
	}
	switch c.output {
	case "wide":
		c.output, c.sheet.Wide = "", true
		return nil
	case "html":
		return c.checkPage()
	case "", "json", "yaml", "name":
		return nil
	default:
		return fmt.Errorf("-o %s is unknown; use html, json or yaml, name or wide", c.output)
	}
}

// checkPage refuses the flags that choose a part of a report: whoever gets a page must see everything that matters.
func (c *reportCommand) checkPage() error {
	for _, flag := range []struct {
		name string
		set  bool
	}{{"--node", c.sheet.Node != ""}, {"--target", c.sheet.Target != ""}, {"--path", c.path != ""},
		{"--failed", c.sheet.Failed}} {
		if flag.set {
			return fmt.Errorf("-o html shows all of a round, and %[1]s asks for a part of it; leave out %[1]s, or leave "+
				"out -o html", flag.name)
		}
	}
	return nil
}

// completePath reads the kind of path: its own name, or the title that reports show.
func (c *reportCommand) completePath() error {
	if c.path == "" {
		return nil
	}
	for _, row := range target.Kinds() {
		if strings.EqualFold(c.path, string(row.Kind)) || strings.EqualFold(c.path, row.Title) {
			c.sheet.Kind = row.Kind
			return nil
		}
	}
	return fmt.Errorf("--path %s is no kind of path; use one of %s", c.path, strings.Join(pathKinds(), ", "))
}

// run shows the report. The error is errRoundFailed when the round did not succeed.
func (c *reportCommand) run(ctx context.Context, api *client) error {
	meant, byReport, err := c.choices.resolve(ctx, api)
	if err != nil {
		return err
	}
	c.kind, c.task = meant.kind, meant.task
	raw, err := api.report(ctx, c.kind, c.task, c.round)
	if err != nil {
		return err
	}
	var report systemv1beta1.KdoctorReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("the report of task %s cannot be read; are plugin and controller of the same release? %w",
			c.task, err)
	}
	if sheet.Empty(report) {
		return api.explainMissing(ctx, c.kind, c.task)
	}
	if c.output == "" && sheet.Omitted(report) && c.sheet.Chosen() {
		err = c.printPaths(ctx, api, report)
	} else {
		err = c.print(raw, report)
	}
	if err == nil && byReport && c.output == "" {
		_, err = fmt.Fprintf(c.screen.Out, "\nNo task is named %q; this is %s, whose report has that name.\n",
			c.choices.arg, meant)
	}
	if err != nil {
		return err
	}
	if !sheet.Passed(report) {
		return errRoundFailed
	}
	return nil
}

func (c *reportCommand) print(raw []byte, report systemv1beta1.KdoctorReport) error {
	switch c.output {
	case "json":
		var text bytes.Buffer
		if err := json.Indent(&text, raw, "", "    "); err != nil {
			return fmt.Errorf("indent the report: %w", err)
		}
		return c.write(append(bytes.TrimSpace(text.Bytes()), '\n'))
	case "yaml":
		text, err := yaml.JSONToYAML(raw)
		if err != nil {
			return fmt.Errorf("turn the report into YAML: %w", err)
		}
		return c.write(text)
	case "name":
		return c.write([]byte("kdoctorreport" + reportGroup + "/" + report.Name + "\n"))
	case "html":
		if err := page.Write(c.screen.Out, report, page.Options{Round: c.round}); err != nil {
			return fmt.Errorf("write the page: %w", err)
		}
		return nil
	}
	if nodes := sheet.Nodes(report); c.sheet.Node != "" && !slices.Contains(nodes, c.sheet.Node) {
		return fmt.Errorf("no agent of this round ran on node %s; those that did are on %s", c.sheet.Node,
			several(nodes))
	}
	if err := sheet.Write(c.screen.Out, report, c.sheet); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// printPaths shows those single paths of the report that were asked for, page by page as they come.
func (c *reportCommand) printPaths(ctx context.Context, api *client, report systemv1beta1.KdoctorReport) error {
	single := sheet.NewSingle(c.screen.Out, report, c.sheet)
	begun := false
	err := api.paths(ctx, c.kind, c.selector(report), func(list systemv1beta1.KdoctorPathList) error {
		if !begun {
			begun = true
			if err := c.checkNode(ctx, api, report, list); err != nil {
				return err
			}
			if err := single.Begin(); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		}
		if err := single.Page(list); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := single.End(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// selector chooses the paths that were asked for.
func (c *reportCommand) selector(report systemv1beta1.KdoctorReport) fields.Selector {
	// A newer round may be over meanwhile.
	name := fmt.Sprintf("%s%s:%d", c.kind.ReportPrefix(), c.task, report.Spec.ReportRoundNumber)
	all := []fields.Selector{fields.OneTermEqualSelector("report", name)}
	for _, field := range []struct{ name, value string }{{"node", c.sheet.Node}, {"target", c.sheet.Target},
		{"kind", string(c.sheet.Kind)}} {
		if field.value != "" {
			all = append(all, fields.OneTermEqualSelector(field.name, field.value))
		}
	}
	if c.sheet.Failed {
		for _, result := range []verdict.Result{verdict.Pass, verdict.Void} {
			all = append(all, fields.OneTermNotEqualSelector("result", string(result)))
		}
	}
	return fields.AndSelectors(all...)
}

// checkNode refuses a node of which the round has nothing. first is the first page of what was asked for.
func (c *reportCommand) checkNode(ctx context.Context, api *client, report systemv1beta1.KdoctorReport,
	first systemv1beta1.KdoctorPathList) error {
	if c.sheet.Node == "" || len(first.Items) > 0 || len(first.Summed) > 0 ||
		slices.Contains(sheet.Nodes(report), c.sheet.Node) {
		return nil
	}
	other := *c
	other.sheet = sheet.Options{Node: c.sheet.Node}
	found := false
	err := api.paths(ctx, c.kind, other.selector(report), func(list systemv1beta1.KdoctorPathList) error {
		found = found || len(list.Items) > 0 || len(list.Summed) > 0
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no agent of this round ran on node %s", c.sheet.Node)
	}
	return err
}

func (c *reportCommand) write(text []byte) error {
	if _, err := c.screen.Out.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// several names the first few.
func several(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
