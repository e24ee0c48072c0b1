package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"kdoctor.io/kdoctor/test/cluster"
)

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.quick && o.faults == "" {
		o.faults = quick()
	}
	if !o.matrix {
		return one(ctx, o)
	}
	var missed error
	for _, each := range matrix(o) {
		fmt.Printf("\n%d nodes, overlay %s, kube-proxy with %s, agents in host networks: %t\n", each.nodes, each.overlay,
			each.proxy, each.hosts)
		missed = errors.Join(missed, one(ctx, each))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return missed
}

// one runs the campaign on one cluster.
func one(ctx context.Context, o options) (err error) {
	values := []string{"agent.loadBalancer.mode=Always", "ingress.mode=Always", "controller.replicas=1",
		`controller.nodeSelector.kubernetes\.io/hostname=n0`, fmt.Sprintf("hostAgent.enabled=%t", o.hosts)}
	if o.recordings != "" {
		values = append(values, recording()...)
	}
	// A folder that is missing is better noticed before the first round than after it.
	for _, folder := range []string{o.recordings, o.results} {
		if folder != "" {
			if err := os.MkdirAll(folder, 0o750); err != nil {
				return fmt.Errorf("make a folder: %w", err)
			}
		}
	}
	c := &campaign{options: o, cluster: cluster.New(cluster.Config{Name: o.name, Build: o.build, Chart: o.chart,
		Version: o.version, Progress: os.Stderr, Values: values})}
	if err := c.up(ctx); err != nil {
		return err
	}
	if !o.keep {
		defer func() {
			down, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, c.cluster.Down(down))
		}()
	}
	faults, err := c.faults(ctx)
	if err != nil {
		return err
	}
	return c.rounds(ctx, faults)
}
