package e2e

import (
	"strings"
	"testing"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// mtuBlackHole makes a node's way to pods on other nodes narrower than its pods believe, and keeps it from telling
// them. What is small still passes: a task with the usual answers must succeed, one with answers of several packets
// must fail where they leave that node, and nowhere else.
func mtuBlackHole(t *testing.T, c *cluster.Cluster) {
	// Not the controller's: what it says of reports is large as well.
	node := workerWithoutController(t, c)
	const overlay = "vx0"
	// The kernel takes IPv6 away from an interface with less than 1280.
	const narrow = "1300"
	pod, _ := agentOn(t, c, node)
	run := func(args ...string) string {
		t.Helper()
		out, err := c.Exec(t.Context(), node, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	_, after, _ := strings.Cut(run("ip", "-o", "link", "show", "dev", overlay), " mtu ")
	wide, _, ok := strings.Cut(after, " ")
	if !ok {
		t.Fatalf("the MTU of %s on %s is not told", overlay, node)
	}
	run("nft", "add table inet mtu; add chain inet mtu output { type filter hook output priority 0; }; add rule inet "+
		"mtu output icmp type destination-unreachable drop")
	defer run("nft", "delete table inet mtu")
	run("ip", "link", "set", "dev", overlay, "mtu", narrow)
	defer run("ip", "link", "set", "dev", overlay, "mtu", wide)
	for name, size := range map[string]string{"usual-answers": "0", "large-answers": "8000"} {
		apply(t, c, name, `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: `+name+`}
spec:
  request: {durationInSecond: 4, qps: 10, perRequestTimeoutInMS: 1000, answerSizeInByte: `+size+`}
  target: {ipv4: true, ipv6: false, nodePort: false, clusterIP: false}
`)
	}
	if usual := finished(t, c, "usual-answers"); usual.Status.LastRoundStatus == nil ||
		*usual.Status.LastRoundStatus != v1beta1.Succeed {
		t.Errorf("with the usual answers: %+v; want a success", usual.Status)
	}
	finished(t, c, "large-answers")
	found := reportOf(t, c, "large-answers")
	if l := found.Spec.Load; l == nil || l.AnswerSizeInByte != 8000 {
		t.Errorf("the load is told as %+v; want answers of 8000 bytes", l)
	}
	for _, agent := range found.Spec.Report {
		// A report is larger than the way lets through in one packet.
		if agent.FetchedBy != "" {
			t.Errorf("the report of %s came by %s, want it by the direct way", agent.NodeName, agent.FetchedBy)
		}
		for _, detail := range agent.NetReachTask.Detail {
			lost := agent.NodeName != node && strings.Contains(detail.TargetName, pod)
			if detail.Succeed == lost || lost && !strings.Contains(reason(detail), "Timeout") {
				t.Errorf("%s, %s: success %v (%s); want a failure by timeout: %v", agent.NodeName, detail.TargetName,
					detail.Succeed, reason(detail), lost)
			}
		}
	}
}
