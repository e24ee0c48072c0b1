// Package e2e runs scenarios against a real Kubernetes of several nodes, in the order in which an admin might meet
// them.
package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// nodes is how many nodes the lab has; their names are n0, n1, n2.
const nodes = 3

// pollInterval is how often a scenario looks for what it waits for: the cluster's own doing cannot be waited for
// otherwise.
const pollInterval = 500 * time.Millisecond

// progress passes what long-running programs print on to the test's log.
type progress struct{ t *testing.T }

func (p progress) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		p.t.Log(strings.TrimRight(line, "\r\n"))
	}
	return len(b), nil
}

// up returns a cluster with kdoctor installed and everything that it tests given its address, and takes it down when
// the test is over unless KDOCTOR_KEEP is set. Further arguments are the lab's own.
func up(t *testing.T, name string, nodes int, objects []string, args ...string) *cluster.Cluster {
	t.Helper()
	c := rise(t, name, nodes, args...)
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		kubectl(t, c, "wait", "--namespace", cluster.Namespace, "--timeout=60s", "--for=create", object)
		kubectl(t, c, "wait", "--namespace", cluster.Namespace, "--timeout=60s",
			"--for=jsonpath={.status.loadBalancer.ingress}", object)
	}
	settling, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(nodes)*2*time.Second)
	defer cancel()
	if err := c.Settle(settling, nodes); err != nil {
		t.Fatal(err)
	}
	return c
}

// rise brings up a cluster with the images, and nothing installed.
func rise(t *testing.T, name string, nodes int, args ...string) *cluster.Cluster {
	t.Helper()
	build := os.Getenv("KDOCTOR_BUILD")
	if build == "" {
		t.Fatal("KDOCTOR_BUILD is not set: run this through 'make e2e', which builds the programs and images first")
	}
	c := cluster.New(cluster.Config{Name: name, Build: build, Chart: "../../charts/kdoctor",
		Version: os.Getenv("KDOCTOR_VERSION"), Progress: progress{t},
		// What is made on demand has a scenario of its own, and others need it from the beginning. Two controllers have
		// a test of their own, and others look at the process, the log or the folder of the only one.
		Values: []string{"agent.loadBalancer.mode=Always", "ingress.mode=Always", "controller.replicas=1",
			"hostAgent.enabled=true"}})
	t.Cleanup(func() {
		if os.Getenv("KDOCTOR_KEEP") != "" {
			return
		}
		if err := c.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("take the cluster down: %v", err)
		}
	})
	if err := c.Up(t.Context(), nodes, args...); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImages(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func kubectl(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually calls check until it returns nil, and fails the test with its last error when that takes too long.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s, not within %v: %v", what, within, err)
		case <-ticker.C:
		}
	}
}

// apply applies the manifest and has the task deleted when the test is over.
func apply(t *testing.T, c *cluster.Cluster, name, manifest string) {
	t.Helper()
	if _, err := c.Apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.Kubectl(context.WithoutCancel(t.Context()), "delete", "netreach", name,
			"--ignore-not-found"); err != nil {
			t.Errorf("delete the task: %v", err)
		}
	})
}

func task(t *testing.T, c *cluster.Cluster, name string) v1beta1.NetReach {
	t.Helper()
	var found v1beta1.NetReach
	if err := c.Get(t.Context(), &found, "netreach", name); err != nil {
		t.Fatal(err)
	}
	return found
}

// ongoing waits until the task's round runs.
func ongoing(t *testing.T, c *cluster.Cluster, name string) v1beta1.NetReach {
	t.Helper()
	var found v1beta1.NetReach
	eventually(t, time.Minute, "the round runs", func() error {
		found = task(t, c, name)
		if len(found.Status.History) == 0 || found.Status.History[0].Status != v1beta1.RecordOngoing {
			return fmt.Errorf("the status is %+v", found.Status)
		}
		return nil
	})
	return found
}

// finished waits until all rounds of the task are over.
func finished(t *testing.T, c *cluster.Cluster, name string) v1beta1.NetReach {
	t.Helper()
	var found v1beta1.NetReach
	eventually(t, 3*time.Minute, "the task finishes", func() error {
		found = task(t, c, name)
		if !found.Status.Finish {
			return fmt.Errorf("the status is %+v", found.Status)
		}
		return nil
	})
	return found
}

func reportOf(t *testing.T, c *cluster.Cluster, name string) systemv1beta1.KdoctorReport {
	t.Helper()
	var found systemv1beta1.KdoctorReport
	if err := c.Get(t.Context(), &found, "kdoctorreport", "netreach-"+name); err != nil {
		t.Fatal(err)
	}
	return found
}

// names returns n0, n1, ... sorted.
func nodeNames() []string {
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	return names
}

// shape is the target's name without what differs between clusters.
func shape(target string) string {
	for _, prefix := range []string{"AgentPodV4IP", "AgentPodV6IP", "AgentClusterV4IP", "AgentClusterV6IP",
		"AgentNodePortV4IP", "AgentNodePortV6IP",
		"AgentLoadbalancerV4IP", "AgentLoadbalancerV6IP", "AgentIngress_http://[", "AgentIngress_http://"} {
		if strings.HasPrefix(target, prefix) {
			return prefix
		}
	}
	return "unknown: " + target
}

func failing(r systemv1beta1.Report) []string {
	var targets []string
	for _, detail := range r.NetReachTask.Detail {
		if !detail.Succeed {
			targets = append(targets, detail.TargetName)
		}
	}
	slices.Sort(targets)
	return targets
}
