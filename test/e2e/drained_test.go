package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// dies stops the kubelet of a node and cuts its network off, as its machine would stop, until the returned function
// is called.
func (l life) dies(t *testing.T, node string) (revive func()) {
	t.Helper()
	resume := stopped(t, l.Cluster, lifeCluster, node)
	heal := l.fault(t, node, "dead", `chain in { type filter hook input priority -300; policy drop; }
		chain out { type filter hook output priority -300; policy drop; }
		chain through { type filter hook forward priority -300; policy drop; }`)
	return func() {
		heal()
		resume()
	}
}

// controllerOn moves the controller to the one node that is not cordoned, unless it is there.
func (l life) controllerOn(t *testing.T, node string) {
	t.Helper()
	pods := []string{"pods", "--namespace", cluster.Namespace, "-l", "app.kubernetes.io/component=kdoctor-controller"}
	get := append([]string{"get", "-o", "jsonpath={.items[*].spec.nodeName}"}, pods...)
	if kubectl(t, l.Cluster, get...) == node {
		return
	}
	before := l.controllerProcess(t)
	kubectl(t, l.Cluster, append([]string{"delete"}, pods...)...)
	l.apiBack(t, before)
}

// scaledDown has two nodes die while a round runs: one that the cluster autoscaler has marked when the round began,
// and one that somebody cordoned before. That says nothing of a death.
func scaledDown(t *testing.T, l life) {
	const controllers, removed, dying = "n0", "n1", "n2"
	kubectl(t, l.Cluster, "cordon", removed, dying)
	defer kubectl(t, l.Cluster, "uncordon", removed, dying)
	l.controllerOn(t, controllers)
	kubectl(t, l.Cluster, "uncordon", removed)
	gone, _ := agentOn(t, l.Cluster, removed)
	dead, _ := agentOn(t, l.Cluster, dying)
	l.apply(t, "scaled", "request: {durationInSecond: 8, qps: 10, perRequestTimeoutInMS: 500}\n"+
		"  target: {ipv4: true, ipv6: true}")
	l.begun(t, l.ongoing(t, "scaled", time.Minute))
	kubectl(t, l.Cluster, "taint", "node", removed, "ToBeDeletedByClusterAutoscaler=1:NoSchedule")
	defer kubectl(t, l.Cluster, "taint", "node", removed, "ToBeDeletedByClusterAutoscaler-")
	revive := []func(){l.dies(t, removed), l.dies(t, dying)}
	done := l.finished(t, "scaled", 2*time.Minute)
	for _, do := range revive {
		do()
	}
	wantRound(t, done, v1beta1.RecordFail)
	r := l.report(t, "netreach-scaled")
	void := map[string]bool{}
	for _, m := range r.Spec.NotReported {
		void[m.NodeName] = m.Void
	}
	if len(void) != 2 || !void[removed] || void[dying] {
		t.Errorf("without a report: %+v; want %s, excused, and %s, not", r.Spec.NotReported, removed, dying)
	}
	for _, prefix := range []string{"AgentPodV4IP_", "AgentPodV6IP_"} {
		wantVerdict(t, r, controllers, prefix+dead, "fail")
		for _, d := range targets(t, r, controllers, prefix+gone) {
			if verdictOf(d) == "fail" {
				t.Errorf("%s, which was on a node that was removed, is blamed: %s", d.TargetName, reason(d))
			}
		}
	}
	// Two of three backends are dead, and the removal of one explains a third.
	wantVerdict(t, r, controllers, "AgentClusterV4IP", "fail")
	l.revived(t, removed, dying)
}

// revived waits until the nodes and all that stands on them are as before.
func (l life) revived(t *testing.T, names ...string) {
	t.Helper()
	eventually(t, 90*time.Second, "the nodes are back", func() error {
		for _, name := range names {
			var node corev1.Node
			if err := l.api.Get(t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
				return err
			}
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
					return fmt.Errorf("%s is not ready: %s", name, strings.TrimSpace(c.Message))
				}
			}
		}
		return nil
	})
	l.replaced(t)
	l.settle(t)
}
