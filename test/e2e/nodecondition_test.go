package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/test/cluster"
)

// cutNode cuts a node off during rounds of ten seconds, with the condition of nodes switched on.
func cutNode(t *testing.T, c *cluster.Cluster) {
	if err := c.Install(t.Context(), "--set", "nodeCondition.mode=Set"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		err := c.Install(context.WithoutCancel(t.Context()), "--set", "nodeCondition.mode=Clear")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the condition is taken away", func() error {
			for _, name := range nodeNames() {
				if had := nodeCondition(t, c, name); had != "" {
					return fmt.Errorf("node %s has it: %s", name, had)
				}
			}
			return nil
		})
		if err := c.Install(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	node := workerWithoutController(t, c)
	nft := func(args ...string) {
		if _, err := c.Exec(context.WithoutCancel(t.Context()), node, append([]string{"nft"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, c, "cutnode", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: cutnode}
spec:
  schedule: {intervalInSecond: 10, roundNumber: -1}
  request: {durationInSecond: 2, qps: 5, perRequestTimeoutInMS: 500}
  target: {ipv6: true, nodePort: false, clusterIP: false}
`)
	conditions := func(want func(name string) string) func() error {
		return func() error {
			for _, name := range nodeNames() {
				if got := nodeCondition(t, c, name); got != want(name) {
					return fmt.Errorf("the condition of node %s is %q, want %q", name, got, want(name))
				}
			}
			return nil
		}
	}
	allWell := conditions(func(string) string { return "False" })
	eventually(t, time.Minute, "all nodes are measured", allWell)
	nft("add table inet fault_node")
	cut := time.Now()
	nft("add chain inet fault_node forward { type filter hook forward priority -300; policy drop; }")
	func() {
		defer nft("delete table inet fault_node")
		eventually(t, 90*time.Second, "the node has a problem, and no other", conditions(func(name string) string {
			return map[bool]string{true: "True", false: "False"}[name == node]
		}))
		t.Logf("the node has the condition %.1f s after the cut", time.Since(cut).Seconds())
		if !toldSince(t, c, node, "FindingOpened", cut) {
			t.Errorf("there is no event FindingOpened on node %s", node)
		}
	}()
	healed := time.Now()
	eventually(t, 90*time.Second, "all nodes are well again", allWell)
	t.Logf("the node lost the condition %.1f s after the end of the cut", time.Since(healed).Seconds())
	if !toldSince(t, c, node, "FindingCleared", healed) {
		t.Errorf("there is no event FindingCleared on node %s", node)
	}
}

// nodeCondition returns the status of the node's condition; empty where it has none.
func nodeCondition(t *testing.T, c *cluster.Cluster, name string) string {
	t.Helper()
	var node corev1.Node
	if err := c.Get(t.Context(), &node, "node", name); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == "KdoctorNetworkProblem"
	})
	if at < 0 {
		return ""
	}
	return string(node.Status.Conditions[at].Status)
}
