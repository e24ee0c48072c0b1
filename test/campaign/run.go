package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// task is the name of the campaign's task.
const task = "campaign"

// fault is one fault as the lab lists it.
type fault struct {
	Name       string   `json:"name"`
	Row        int      `json:"row"`
	Components []string `json:"components"`
	Cause      string   `json:"cause"`
	// Place is node, pair or lab.
	Place string   `json:"place"`
	Needs []string `json:"needs"`
}

// injected is a fault and where it was injected.
type injected struct {
	Fault    fault  `json:"fault"`
	On, Peer string `json:",omitempty"`
}

type campaign struct {
	options options
	cluster *cluster.Cluster
	round   int64
	results []outcome
}

// up brings the cluster and kdoctor up, and applies the task.
func (c *campaign) up(ctx context.Context) error {
	args := []string{"--overlay", c.options.overlay, "--proxy-mode", c.options.proxy}
	if err := c.cluster.Up(ctx, c.options.nodes, args...); err != nil {
		return err
	}
	if err := c.cluster.LoadImages(ctx); err != nil {
		return err
	}
	if err := c.cluster.Install(ctx); err != nil {
		return err
	}
	if c.options.keep {
		// The images of a cluster that was up may be others under the same name.
		if err := c.restart(ctx); err != nil {
			return err
		}
	}
	settling, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := c.cluster.Settle(settling, c.options.nodes); err != nil {
		return err
	}
	if _, err := c.cluster.Kubectl(ctx, "delete", "netreach", task, "--ignore-not-found"); err != nil {
		return err
	}
	manifest := fmt.Sprintf(`{"apiVersion": "kdoctor.io/v1beta1", "kind": "NetReach", "metadata": {"name": %q}, "spec": {
  "schedule": {"roundNumber": 1, "roundTimeoutMinute": 2, "schedule": "0 1"},
  "request": {"durationInSecond": %d, "qps": 10, "perRequestTimeoutInMS": 1000},
  "target": %s}}`,
		task, c.options.seconds, targets()[c.options.target])
	if _, err := c.cluster.Apply(ctx, manifest); err != nil {
		return err
	}
	_, err := c.await(ctx, 1)
	c.round = 1
	return err
}

// restart replaces all pods, and waits for the new ones.
func (c *campaign) restart(ctx context.Context) error {
	workloads := []string{"deployment/kdoctor-controller", "daemonset/kdoctor-agent"}
	if c.options.hosts {
		workloads = append(workloads, "daemonset/kdoctor-host")
	}
	for _, verb := range []string{"restart", "status"} {
		for _, w := range workloads {
			args := []string{"--namespace", cluster.Namespace, "rollout", verb, w}
			if verb == "status" {
				args = append(args, "--timeout=90s")
			}
			if _, err := c.cluster.Kubectl(ctx, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// faults lists the faults that the cluster's networks permit and that the options ask for.
func (c *campaign) faults(ctx context.Context) ([]fault, error) {
	text, err := c.cluster.Program(ctx, "lab", "fault", "list", "-o", "json")
	if err != nil {
		return nil, err
	}
	var all []fault
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("read the list of faults: %w", err)
	}
	var wanted []string
	if c.options.faults != "" {
		wanted = strings.Split(c.options.faults, ",")
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(f fault) bool { return f.Name == name }) {
			return nil, fmt.Errorf("there is no fault %q; lab fault list shows all", name)
		}
	}
	return slices.DeleteFunc(all, func(f fault) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, f.Name) || !c.permits(f)
	}), nil
}

// permits reports whether the cluster has the networks that the fault needs.
func (c *campaign) permits(f fault) bool {
	// Packets out of order and packets that come twice harm no request: nothing fails, and nothing has to be named.
	if f.Cause == "Reordering" || f.Cause == "Duplication" {
		return false
	}
	// Only agents in host networks are touched by these.
	hostsAlone := []string{"firewall for the probe port", "route to Services"}
	if !c.options.hosts && slices.Contains(hostsAlone, f.Components[0]) {
		return false
	}
	// Nobody asks the load balancer or the Ingress then, and nothing of them can be named.
	if c.options.target != "all" && slices.ContainsFunc(f.Components, func(part string) bool {
		return strings.HasSuffix(part, "load balancer") || strings.HasSuffix(part, "Ingress")
	}) {
		return false
	}
	for _, need := range f.Needs {
		if need == "vxlan" && c.options.overlay != "vxlan" || need == "nftables" && c.options.proxy != "nftables" ||
			need == "iptables" && c.options.proxy != "iptables" {
			return false
		}
	}
	return true
}

// rounds runs all rounds and prints the table.
func (c *campaign) rounds(ctx context.Context, faults []fault) error {
	fmt.Println(header())
	for range c.options.healthy {
		if err := c.one(ctx, nil); err != nil {
			return err
		}
	}
	for n := range c.options.disturb {
		if err := c.disturb(ctx, n); err != nil {
			return err
		}
	}
	for n := range c.options.repeat {
		for i, f := range faults {
			if err := c.one(ctx, []injected{c.place(f, i+n)}); err != nil {
				return err
			}
		}
	}
	if c.options.pairs {
		if err := c.two(ctx, faults); err != nil {
			return err
		}
	}
	return summarise(c.results)
}

// two injects two faults at once, at different nodes.
func (c *campaign) two(ctx context.Context, faults []fault) error {
	single := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.Place != "node" })
	for i := range single {
		other := single[(i+len(single)/2)%len(single)]
		if other.Name == single[i].Name {
			continue
		}
		a, b := c.place(single[i], i), c.place(other, i+1)
		if err := c.one(ctx, []injected{a, b}); err != nil {
			return err
		}
	}
	return nil
}

// place chooses the nodes of a fault: never the one with the control plane.
func (c *campaign) place(f fault, n int) injected {
	nodes := c.options.nodes - 1
	node := func(i int) string { return fmt.Sprintf("n%d", 1+i%nodes) }
	in := injected{Fault: f}
	if f.Place != "lab" {
		in.On = node(n)
	}
	if f.Place == "pair" {
		in.Peer = node(n + 1)
	}
	return in
}

// one injects faults, runs a round, heals, and judges what the report says.
func (c *campaign) one(ctx context.Context, faults []injected) error {
	for _, f := range faults {
		if err := c.inject(ctx, f); err != nil {
			fmt.Printf("%-32s not injected: %v\n", f.Fault.Name, err)
			return c.heal(ctx)
		}
	}
	return c.judged(ctx, outcome{Injected: faults})
}

// judged runs a round, heals, and judges what the report says. of has what was done to the cluster.
func (c *campaign) judged(ctx context.Context, of outcome) error {
	began := time.Now()
	err := c.probe(ctx)
	of.Took = time.Since(began)
	if healed := c.heal(ctx); healed != nil {
		return errors.Join(err, healed)
	}
	var report *systemv1beta1.KdoctorReport
	if err == nil {
		report, err = c.report(ctx)
	}
	if err != nil {
		fmt.Printf("%-32s no report: %v\n", of.name(), err)
	}
	if err := c.recorded(of); err != nil {
		return err
	}
	result := of.judge(report, err == nil)
	c.results = append(c.results, result)
	fmt.Println(result.row())
	if result.alarm() {
		fmt.Println("    " + strings.Join(result.Reasons, "\n    "))
	}
	return c.write()
}

func (c *campaign) inject(ctx context.Context, f injected) error {
	args := []string{"fault", "inject", f.Fault.Name, "--name", c.options.name, "--port", "5780"}
	if f.On != "" {
		args = append(args, "--on", f.On)
	}
	if f.Peer != "" {
		args = append(args, "--peer", f.Peer)
	}
	_, err := c.cluster.Program(ctx, "lab", args...)
	return err
}

func (c *campaign) heal(ctx context.Context) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if _, err := c.cluster.Program(within, "lab", "fault", "heal", "--name", c.options.name); err != nil {
		return err
	}
	// Connections that began under the fault are still tracked, and would fail some of the next round.
	for n := range c.options.nodes {
		if _, err := c.cluster.Exec(within, fmt.Sprintf("n%d", n), "conntrack", "-F"); err != nil {
			return err
		}
	}
	return nil
}

// probe runs a round to its end.
func (c *campaign) probe(ctx context.Context) error {
	_, err := c.cluster.Kubectl(ctx, "annotate", "netreach", task, "--overwrite",
		"kdoctor.io/run-now="+strconv.FormatInt(time.Now().UnixNano(), 10))
	if err != nil {
		return err
	}
	done, err := c.await(ctx, c.round+1)
	c.round = max(c.round, done)
	return err
}

// await waits until the round is done, and returns how many are.
func (c *campaign) await(ctx context.Context, round int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		var got v1beta1.NetReach
		err := c.cluster.Get(ctx, &got, "netreach", task)
		if err == nil && got.Status.DoneRound != nil && *got.Status.DoneRound >= round {
			return *got.Status.DoneRound, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("round %d is not done: %w", round, errors.Join(ctx.Err(), err))
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func (c *campaign) report(ctx context.Context) (*systemv1beta1.KdoctorReport, error) {
	var report systemv1beta1.KdoctorReport
	var err error
	for range 20 {
		if err = c.cluster.Get(ctx, &report, "kdoctorreport", "netreach-"+task); err == nil {
			return &report, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil, err
}

// write writes the raw results, a line each.
func (c *campaign) write() error {
	if c.options.results == "" {
		return nil
	}
	words := []string{time.Now().Format(time.DateOnly), "campaign", fmt.Sprintf("%dnodes", c.options.nodes),
		c.options.overlay, c.options.proxy}
	for word, holds := range map[string]bool{"hosts": c.options.hosts, "pairs": c.options.pairs,
		c.options.target: c.options.target != "all"} {
		if holds {
			words = append(words, word)
		}
	}
	slices.Sort(words[5:])
	file, err := os.Create(filepath.Join(c.options.results, strings.Join(words, "-")+".jsonl"))
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	encoder := json.NewEncoder(file)
	for _, r := range c.results {
		if err := encoder.Encode(r); err != nil {
			return errors.Join(fmt.Errorf("write the results: %w", err), file.Close())
		}
	}
	return file.Close()
}
