package e2e

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// TestOtherClusters runs every kind of target on clusters that differ in family, kube-proxy and overlay from the one of
// the scenarios.
func TestOtherClusters(t *testing.T) {
	const few = 2
	cases := []struct {
		name, family, other string
		args                []string
	}{
		{"IPv6 alone, kube-proxy with iptables", "ipv6", "ipv4",
			[]string{"--families", "ipv6", "--proxy-mode", "iptables"}},
		{"IPv4 alone, plain routes", "ipv4", "ipv6", []string{"--families", "ipv4", "--overlay", "none"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := up(t, "e2e-"+test.family, few,
				[]string{"service/kdoctor-agent-" + test.family, "ingress/kdoctor-agent"}, test.args...)
			apply(t, c, "all", fmt.Sprintf(`
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: all}
spec:
  request: {durationInSecond: 2, qps: 10, perRequestTimeoutInMS: 1000}
  target: {%s: true, %s: false, multusInterface: true, loadBalancer: true, ingress: true}
`, test.family, test.other))
			done := finished(t, c, "all")
			if done.Status.LastRoundStatus == nil || *done.Status.LastRoundStatus != v1beta1.Succeed {
				t.Errorf("the round did not succeed: %+v", done.Status)
			}
			report := reportOf(t, c, "all")
			if len(report.Spec.Report) != few {
				t.Fatalf("%d agents reported, want %d", len(report.Spec.Report), few)
			}
			for _, agent := range report.Spec.Report {
				// Pod addresses and second interfaces of every agent, node ports of every node, and one each of
				// ClusterIP, LoadBalancer and Ingress.
				if want := int64(3*few + 3); agent.NetReachTask.TargetNumber != want {
					t.Errorf("node %s has %d targets, want %d", agent.NodeName, agent.NetReachTask.TargetNumber, want)
				}
				for _, detail := range agent.NetReachTask.Detail {
					checkDetail(t, agent.NodeName, detail, 20)
				}
			}
			if test.family == "ipv6" {
				bothAddresses(t, c, "e2e-"+test.family, few)
			}
		})
	}
}

// bothAddresses gives a node a second address. kube-proxy with iptables answers on node ports there too.
func bothAddresses(t *testing.T, c *cluster.Cluster, lab string, nodes int) {
	t.Helper()
	const node, first, second = "n1", "fd98:18::11", "fd98:18::111"
	defer secondAddress(t, c, node, second+"/64")()
	defer tellAddresses(t, c, lab, node, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: second})()
	apply(t, c, "both", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: both}
spec:
  request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 1000}
  target: {ipv4: false, ipv6: true, `+onlyNodePorts+`, nodePortAddresses: Internal}
`)
	wantRound(t, finished(t, c, "both"), v1beta1.RecordSucceed)
	r := reportOf(t, c, "both")
	want := []string{"fd98:18::10", first, second}
	for i := range nodes {
		if got := hosts(t, reportOn(t, r, fmt.Sprintf("n%d", i)), "AgentNodePortV6IP_"); !slices.Equal(got, want) {
			t.Errorf("node n%d: node ports at %v, want %v", i, got, want)
		}
	}
	if found := findings(t, r, "NodePortAddresses"); len(found) != 0 {
		t.Errorf("findings where nothing refuses: %+v", found)
	}
}
