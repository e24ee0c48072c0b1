package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/workload"
)

// defaultPerAgent is how many requests a second one agent sends at most. The kernel tracks a connection for 10 s after
// the RST that closes it, so this many leave 50,000 entries on the agent's node, and those of the other agents as many
// again where every agent probes every other. Together that stays below 131,072, the least that kube-proxy sets the
// table to, and each half below half of it: a test must not cause the full table that it is there to find.
const defaultPerAgent = 5000

// mostRequests bounds both limits, in requests a second.
const mostRequests = 1_000_000_000

// What is done about a task above the limits.
const (
	// reduce plans it with a lower rate.
	reduce = "Reduce"
	// refuse has the API server refuse it when it is applied. What it cannot see then, such as agents that come later,
	// is reduced all the same.
	refuse = "Refuse"
)

// limits are the flags about load.
type limits struct {
	// perAgent and total are in requests a second, 0 without a limit.
	perAgent, total int
	onExcess        string
	// name is the name of the LoadLimit by which the API server refuses tasks.
	name string
}

func defaultLimits() limits { return limits{perAgent: defaultPerAgent, onExcess: reduce} }

func (l *limits) flags(flags *pflag.FlagSet) {
	flags.IntVar(&l.perAgent, "max-requests-per-agent", l.perAgent, "how many requests a second one agent sends at "+
		"most, for all tasks that use it; 0 is no limit")
	flags.IntVar(&l.total, "max-requests", l.total, "how many requests a second all agents send together at most; 0 "+
		"is no limit")
	flags.StringVar(&l.onExcess, "on-excess", l.onExcess, "what is done about a task above these limits: Reduce "+
		"plans it with a lower rate, Refuse has the API server refuse it, which the chart's policy does")
	flags.StringVar(&l.name, "limits-name", l.name, "name of the LoadLimit in which --on-excess=Refuse keeps the "+
		"limits and how many agents and targets there are")
}

func (l *limits) validate() error {
	var wrong []error
	for _, limit := range []struct {
		flag  string
		value int
	}{{"--max-requests-per-agent", l.perAgent}, {"--max-requests", l.total}} {
		if limit.value < 0 || limit.value > mostRequests {
			wrong = append(wrong,
				fmt.Errorf("%s is %d; use a number of requests a second from 1 to %d, or 0 for no limit", limit.flag,
					limit.value, mostRequests))
		}
	}
	if l.onExcess != reduce && l.onExcess != refuse {
		wrong = append(wrong, fmt.Errorf("--on-excess is %q; use %s or %s", l.onExcess, reduce, refuse))
	}
	if (l.onExcess == refuse) != (l.name != "") {
		wrong = append(wrong, fmt.Errorf("--on-excess is %s and --limits-name is %q; name a LoadLimit for %s, and "+
			"none for %s", l.onExcess, l.name, refuse, reduce))
	}
	return errors.Join(wrong...)
}

// addFigures has the leader keep the figures by which the API server refuses tasks, where it does.
func addFigures(mgr ctrl.Manager, o *options, snapshots *inventory.Inventory, agents *workload.Keeper) error {
	if o.limits.onExcess != refuse {
		return nil
	}
	direct, err := kube.NewClient(mgr.GetConfig())
	if err != nil {
		return err
	}
	figures := &controller.LoadLimitWriter{
		Snapshots: snapshots, Client: direct, Name: o.limits.name,
		PerAgent: o.limits.perAgent, Total: o.limits.total, Workload: agents.All(),
		Log: mgr.GetLogger().WithName("figures"),
	}
	if err := mgr.Add(figures); err != nil {
		return fmt.Errorf("add the figures: %w", err)
	}
	return nil
}
