package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

const (
	// name is the lab's; make demo-down knows it too.
	name  = "demo"
	nodes = 3
	// shownLines is how much of the report's YAML stands on the terminal.
	shownLines = 48
	// patience bounds the wait for the round: its own deadline is a minute, and the controller closes it soon after.
	patience = 2 * time.Minute
)

type session struct {
	out         io.Writer
	cluster     *cluster.Cluster
	build, task string
	began       time.Time
	step        int
}

func newSession(out io.Writer, build, version, chart, task string) *session {
	return &session{out: out, build: build, task: task, began: time.Now(),
		cluster: cluster.New(cluster.Config{Name: name, Build: build, Chart: chart, Version: version, Progress: out,
			Values: []string{"hostAgent.enabled=true"}})}
}

func (s *session) run(ctx context.Context) error {
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"a Kubernetes of three nodes, dual-stack, on this machine",
			func(ctx context.Context) error { return s.cluster.Up(ctx, nodes) }},
		{"the images, from files, onto every node", s.cluster.LoadImages},
		{"kdoctor, with helm", s.install},
		{"the task", s.apply},
		{"the round", s.wait},
		{"what kubectl shows", s.show},
	}
	for i, step := range steps {
		s.step = i + 1
		fmt.Fprintf(s.out, "\n[%d/%d] %s (%.0f s so far)\n", i+1, len(steps), step.title, time.Since(s.began).Seconds())
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	verdict := s.report(ctx)
	s.farewell(s.victim(ctx))
	return verdict
}

// install also waits until the agents' Services serve: until then the round would rightly fail. The load balancer and
// the Ingress are made, and waited for, when a task asks for them.
func (s *session) install(ctx context.Context) error {
	fmt.Fprintln(s.out, "$ helm upgrade --install kdoctor charts/kdoctor --namespace kdoctor --create-namespace --wait \\\n"+
		"    --set hostAgent.enabled=true")
	if err := s.cluster.Install(ctx); err != nil {
		return err
	}
	for _, object := range []string{"service/kdoctor-agent-ipv4", "service/kdoctor-agent-ipv6"} {
		if err := s.kubectl(ctx, "wait", "--namespace", cluster.Namespace, "--timeout=60s", "--for=create",
			object); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.out, "waiting until kube-proxy has heard of the agents on every node")
	settling, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := s.cluster.Settle(settling, nodes)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		// Somebody may have broken something, to see what the round finds.
		fmt.Fprintf(s.out, "it has not within a minute, and the round will tell: %v\n", err)
	}
	return s.kubectl(ctx, "get", "pods", "--namespace", cluster.Namespace, "-o", "wide")
}

// apply removes a task left by an earlier demo first: applying the same manifest again would change nothing and start
// nothing.
func (s *session) apply(ctx context.Context) error {
	if _, err := s.cluster.Kubectl(ctx, "delete", "--ignore-not-found", "-f", s.task); err != nil {
		return err
	}
	return s.kubectl(ctx, "apply", "-f", s.task)
}

func (s *session) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	begin := time.Now()
	for {
		var task v1beta1.NetReach
		if err := s.cluster.Get(ctx, &task, "-f", s.task); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "  %3.0f s  %s\n", time.Since(begin).Seconds(), describe(task))
		if task.Status.Finish {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the task did not finish in time: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

func describe(task v1beta1.NetReach) string {
	if len(task.Status.History) == 0 {
		return "waiting for the controller"
	}
	latest := task.Status.History[0]
	switch latest.Status {
	case v1beta1.RecordNotStarted:
		return fmt.Sprintf("round %d has not started", latest.RoundNumber)
	case v1beta1.RecordOngoing:
		load := time.Duration(task.Spec.Request.DurationInSecond) * time.Second
		return fmt.Sprintf("round %d runs; its load lasts %v", latest.RoundNumber, load)
	default:
		return fmt.Sprintf("round %d is over after %s", latest.RoundNumber, *latest.Duration)
	}
}

func (s *session) show(ctx context.Context) error {
	if err := s.kubectl(ctx, "get", "netreach"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "get", "kdoctorreport"); err != nil {
		return err
	}
	text, err := s.cluster.Kubectl(ctx, "get", "kdoctorreport", "netreach-task", "-o", "yaml")
	if err != nil {
		return err
	}
	file := filepath.Join(s.build, "demo-report.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("keep the whole report: %w", err)
	}
	lines := strings.SplitAfter(text, "\n")
	fmt.Fprint(s.out, "\n$ kubectl get kdoctorreport netreach-task -o yaml\n",
		strings.Join(lines[:min(shownLines, len(lines))], ""))
	fmt.Fprintf(s.out, "... (%d lines in all: %s)\n", len(lines), file)
	return nil
}

// report prints the readable report; its exit status is the verdict.
func (s *session) report(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n$ kubectl kdoctor report task")
	text, err := s.cluster.Program(ctx, "kubectl-kdoctor", "report", "task")
	fmt.Fprint(s.out, text)
	var failed *cluster.Error
	var exit interface{ ExitCode() int }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && errors.As(err, &exit) && exit.ExitCode() == 1:
		return errNotHealthy
	default:
		return err
	}
}

// victim is a node whose network may be broken without taking the controller, and with it all reports, out of reach.
func (s *session) victim(ctx context.Context) string {
	taken, err := s.cluster.Kubectl(ctx, "get", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/component=kdoctor-controller", "-o", "jsonpath={.items[*].spec.nodeName}")
	if err == nil && strings.TrimSpace(taken) == "n1" {
		return "n2"
	}
	return "n1"
}

func (s *session) farewell(victim string) {
	fmt.Fprintf(s.out, `
All of it took %.0f s. The cluster stays up; go on with:
  export PATH="$PWD/%[2]s:$PATH"
  eval "$(lab env --name %[3]s)"             # kubectl and helm, and the cluster's credentials
  kubectl get pods -A -o wide
  kubectl kdoctor report task --wide
To break something and run the task once more, run a command in the network of a node, but not of the controller's:
  lab exec --name %[3]s %[4]s -- nft add table inet cut
  lab exec --name %[3]s %[4]s -- nft add chain inet cut forward '{ type filter hook forward priority 0; policy drop; }'
  kubectl annotate netreach task kdoctor.io/run-now=1 --overwrite
  kubectl wait netreach/task --for=jsonpath='{.status.doneRound}'=2 --timeout=90s
  kubectl kdoctor report task --failed      # look at %[4]s
  lab exec --name %[3]s %[4]s -- nft delete table inet cut
To take it all down:
  make demo-down
`, time.Since(s.began).Seconds(), filepath.Join(s.build, "bin"), name, victim)
}

// kubectl runs kubectl and shows the command and what it printed.
func (s *session) kubectl(ctx context.Context, args ...string) error {
	fmt.Fprintln(s.out, "\n$ kubectl "+strings.Join(args, " "))
	text, err := s.cluster.Kubectl(ctx, args...)
	fmt.Fprint(s.out, text)
	return err
}
