package command

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdoctor.io/kdoctor/lab/internal/cluster"
	"kdoctor.io/kdoctor/lab/internal/fault"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// listed is a fault as "lab fault list" prints it.
type listed struct {
	Name        string       `json:"name"`
	Row         int          `json:"row"`
	Components  []string     `json:"components"`
	Cause       string       `json:"cause"`
	Aspect      fault.Aspect `json:"aspect"`
	Place       fault.Place  `json:"place"`
	Needs       []fault.Need `json:"needs"`
	Description string       `json:"description"`
}

func (a *app) fault() *cobra.Command {
	cmd := &cobra.Command{Use: "fault", Short: "Break a lab's networks on purpose, and heal them"}
	cmd.AddCommand(a.faultList(), a.faultInject(), a.faultHeal(), a.faultStatus())
	return cmd
}

func (a *app) faultList() *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use: "list", Short: "List all faults", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var rows []listed
			for _, f := range fault.All() {
				needs := f.Needs
				if needs == nil {
					needs = []fault.Need{}
				}
				rows = append(rows, listed{Name: f.Name, Row: f.Row, Components: f.Components, Cause: f.Cause,
					Aspect: f.Aspect,
					Place:  f.Place, Needs: needs, Description: f.Description})
			}
			return a.print(format, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NAME\tROW\tPLACE\tCOMPONENT\tCAUSE\tWHAT HAPPENS")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, rowOf(r.Row), r.Place,
						strings.Join(r.Components, " | "), r.Cause, r.Description)
				}
			})
		},
	}
	outputFlag(cmd, &format)
	return cmd
}

func rowOf(row int) string {
	if row == 0 {
		return "-"
	}
	return strconv.Itoa(row)
}

func outputFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "table", "table or json")
}

// print writes a value as JSON, or by the function as a table.
func (a *app) print(format string, value any, table func(*tabwriter.Writer)) error {
	switch format {
	case "json":
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(value)
	case "table":
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		table(w)
		return w.Flush()
	default:
		return fmt.Errorf("--output %q: %w", format, errFormat)
	}
}

func (a *app) faultInject() *cobra.Command {
	format, o := "", fault.Options{}
	cmd := &cobra.Command{
		Use: "inject NAME", Short: "Inject a fault; several may be in a lab at a time", Args: cobra.ExactArgs(1),
		Example: "  lab fault inject forwarding-off --on n1\n" +
			"  lab fault inject tunnel-entry-stale --on n1 --peer n2\n  lab fault heal",
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--output %q: %w", format, errFormat)
			}
			f, err := fault.Find(args[0])
			if err != nil {
				return err
			}
			return a.withFaults(cmd, func(s *fault.Session) error {
				active, err := s.Inject(cmd.Context(), f, o)
				if err != nil {
					return err
				}
				return a.print(format, active, func(w *tabwriter.Writer) {
					fmt.Fprintf(w, "%s: %s\n", where(active), f.Description)
				})
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.On, "on", "", "node that the fault is about, such as n1")
	flags.StringVar(&o.Peer, "peer", "", "other node, for faults between two nodes or their zones")
	flags.StringVar(&o.Namespace, "namespace", "kdoctor", "namespace of the agents' Services")
	flags.StringVar(&o.Service, "service", "", "Service whose pods are the agents (default: all Services whose names "+
		"begin with "+fault.AgentServices+")")
	flags.IntVar(&o.Port, "port", 9081, "port of host agents, for probe-port-blocked")
	outputFlag(cmd, &format)
	return cmd
}

// where names a fault with its nodes.
func where(f fault.Active) string {
	text := f.Name
	if f.On != "" {
		text += " on " + f.On
	}
	if f.Peer != "" {
		text += " with " + f.Peer
	}
	return text
}

func (a *app) faultHeal() *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use: "heal", Short: "Take all faults back and compare the lab with what it was before", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--output %q: %w", format, errFormat)
			}
			return a.withFaults(cmd, func(s *fault.Session) error {
				healed, healErr := s.Heal(cmd.Context())
				if err := a.print(format, healed, func(w *tabwriter.Writer) {
					for _, d := range healed.Differences {
						fmt.Fprintln(w, d)
					}
					for _, f := range healed.Faults {
						if healErr == nil {
							fmt.Fprintf(w, "healed: %s\n", where(f))
						}
					}
					if len(healed.Faults) == 0 && healErr == nil {
						fmt.Fprintln(w, "the lab has no fault")
					}
				}); err != nil {
					return err
				}
				return healErr
			})
		},
	}
	outputFlag(cmd, &format)
	return cmd
}

func (a *app) faultStatus() *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use: "status", Short: "Print the faults that are in the lab", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withFaults(cmd, func(s *fault.Session) error {
				active, err := s.ActiveFaults()
				if err != nil {
					return err
				}
				return a.print(format, active, func(w *tabwriter.Writer) {
					for _, f := range active {
						fmt.Fprintln(w, where(f))
					}
				})
			})
		},
	}
	outputFlag(cmd, &format)
	return cmd
}

// withFaults runs f while no other command changes the lab.
func (a *app) withFaults(cmd *cobra.Command, f func(*fault.Session) error) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("faults are made in network namespaces: %w", os.ErrPermission)
	}
	lab, record, err := a.find()
	if err != nil {
		return err
	}
	if !record.Complete {
		return fmt.Errorf("the lab %q is not complete: %w", a.name, cluster.ErrNotUp)
	}
	release, err := state.Lock(cmd.Context(), a.name)
	if err != nil {
		return err
	}
	defer func() {
		if releaseErr := release(); err == nil {
			err = releaseErr
		}
	}()
	client, err := lab.Client()
	if err != nil {
		return err
	}
	return f(&fault.Session{Settings: record.Settings, Folder: lab.State, Client: client, Self: lab.Self,
		Daemons: &process.Table{Records: lab.State.Records(), Logs: lab.State.Logs()}})
}
