package e2e

import (
	"context"
	"testing"

	"kdoctor.io/kdoctor/test/cluster"
)

// explained logs, once the scenario has failed, what the cluster says of the controllers and of the way to them. Call
// it deferred.
func explained(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if !t.Failed() {
		return
	}
	const component = "app.kubernetes.io/component=kdoctor-controller"
	for _, args := range [][]string{
		{"get", "pods", "--namespace", cluster.Namespace, "-o", "wide", "--show-labels"},
		{"get", "apiservice", "v1beta1.system.kdoctor.io", "-o", "jsonpath={.status}"},
		{"get", "endpointslices", "--namespace", cluster.Namespace},
		{"get", "lease", "--namespace", cluster.Namespace, "kdoctor-controller", "-o", "yaml"},
		{"get", "events", "--namespace", cluster.Namespace, "--sort-by=.lastTimestamp"},
		{"logs", "--namespace", cluster.Namespace, "-l", component, "--prefix", "--tail=40"},
	} {
		out, err := c.Kubectl(context.WithoutCancel(t.Context()), args...)
		t.Logf("kubectl %v (%v):\n%s", args, err, out)
	}
}
