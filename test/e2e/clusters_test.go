package e2e

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/api/v1beta1"
)

// TestOtherClusters runs every kind of target on clusters that differ in family, kube-proxy and overlay from the one of the scenarios.
func TestOtherClusters(t *testing.T) {
	const few = 2
	cases := []struct {
		name, family, other string
		args                []string
	}{
		{"IPv6 alone, kube-proxy with iptables", "ipv6", "ipv4", []string{"--families", "ipv6", "--proxy-mode", "iptables"}},
		{"IPv4 alone, plain routes", "ipv4", "ipv6", []string{"--families", "ipv4", "--overlay", "none"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := up(t, "e2e-"+test.family, few, []string{"service/kdoctor-agent-" + test.family, "ingress/kdoctor-agent"}, test.args...)
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
				// Pod addresses and second interfaces of every agent, node ports of every node, and one each of ClusterIP, LoadBalancer and Ingress.
				if want := int64(3*few + 3); agent.NetReachTask.TargetNumber != want {
					t.Errorf("node %s has %d targets, want %d", agent.NodeName, agent.NetReachTask.TargetNumber, want)
				}
				for _, detail := range agent.NetReachTask.Detail {
					checkDetail(t, agent.NodeName, detail, 20)
				}
			}
		})
	}
}
