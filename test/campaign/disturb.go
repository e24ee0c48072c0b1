package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"kdoctor.io/kdoctor/test/cluster"
)

// disturbance is something that happens in every cluster and breaks nothing, so that nothing may be named: what is done
// in the middle of a round, and what is done after it.
type disturbance struct {
	name     string
	do, undo func(ctx context.Context) error
	// allowed are the causes of findings that are right all the same.
	allowed []string
}

// disturbances returns those of the round of the number, which decides the node.
func (c *campaign) disturbances(n int) []disturbance {
	node := fmt.Sprintf("n%d", 1+n%(c.options.nodes-1))
	ours := func(args ...string) func(context.Context) error {
		return c.command(slices.Concat([]string{"--namespace", cluster.Namespace}, args)...)
	}
	rolled := ours("rollout", "status", "--timeout=120s", "daemonset/kdoctor-agent")
	dns := func(args ...string) func(context.Context) error {
		return c.command(slices.Concat([]string{"--namespace", "kube-system", "rollout"}, args)...)
	}
	all := []disturbance{
		{"agents are replaced", ours("rollout", "restart", "daemonset/kdoctor-agent"), rolled, nil},
		{"an agent is deleted", ours("delete", "pod", "--wait=false", "--selector",
			"app.kubernetes.io/component=kdoctor-agent", "--field-selector", "spec.nodeName="+node), rolled, nil},
		{"a node is drained",
			c.command("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"),
			c.command("uncordon", node), nil},
		{"programs take all of the CPU", c.busy, nil, []string{"AgentStarved"}},
		{"the name server is replaced", dns("restart", "deployment/coredns"),
			dns("status", "deployment/coredns", "--timeout=120s"), nil},
		{"the controller is replaced", ours("rollout", "restart", "deployment/kdoctor-controller"),
			ours("rollout", "status", "--timeout=120s", "deployment/kdoctor-controller"), nil},
	}
	if c.options.hosts {
		all = append(all, disturbance{"agents in host networks are replaced",
			ours("rollout", "restart", "daemonset/kdoctor-host"),
			ours("rollout", "status", "--timeout=120s", "daemonset/kdoctor-host"), nil})
	}
	return all
}

// command returns a call of kubectl.
func (c *campaign) command(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.cluster.Kubectl(ctx, args...)
		return err
	}
}

// busy keeps as many processors busy as four nodes of two have, for half of a round.
func (c *campaign) busy(ctx context.Context) error {
	const loops = 8
	seconds := max(1, c.options.seconds/2)
	began := time.Now()
	var all sync.WaitGroup
	for range loops {
		all.Go(func() {
			// A loop ends when its time is over, which is a failure to those who started it.
			_, _ = c.cluster.Exec(ctx, "n1", "timeout", strconv.Itoa(seconds), "sh", "-c", "while :; do :; done")
		})
	}
	all.Wait()
	if took := time.Since(began); took < time.Duration(seconds)*time.Second && ctx.Err() == nil {
		return fmt.Errorf("the processors were to be busy for %d s, and were for %v", seconds, took)
	}
	return ctx.Err()
}

// disturb runs a round during which something happens that breaks nothing.
func (c *campaign) disturb(ctx context.Context, n int) error {
	all := slices.DeleteFunc(c.disturbances(n), func(d disturbance) bool {
		return c.options.disturbance != "" && d.name != c.options.disturbance
	})
	if len(all) == 0 {
		return fmt.Errorf("-disturbance %q: no disturbance has this name", c.options.disturbance)
	}
	d := all[n%len(all)]
	done := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
			done <- ctx.Err()
		case <-time.After(time.Duration(c.options.seconds) * time.Second / 3):
			done <- d.do(ctx)
		}
	}()
	err := c.judged(ctx, outcome{Disturbed: d.name, Allowed: d.allowed})
	err = errors.Join(err, <-done)
	if d.undo != nil {
		err = errors.Join(err, d.undo(ctx))
	}
	return err
}
