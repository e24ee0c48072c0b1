package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// replacements break something while agents are deleted, which explains other failures.
func replacements() []scenario {
	return []scenario{
		{"a deleted agent excuses no failure of an agent that it may not answer", deletedElsewhere},
		{"a Service that is broken while its agents are replaced one after the other fails", brokenWhileReplaced},
	}
}

// deletePod deletes a pod without waiting for its end.
func (l life) deletePod(t *testing.T, pod string) {
	t.Helper()
	kubectl(t, l.Cluster, "delete", "pod", "--namespace", cluster.Namespace, pod, "--wait=false")
}

// replaced waits until each node has an agent that is ready.
func (l life) replaced(t *testing.T) {
	t.Helper()
	kubectl(t, l.Cluster, "rollout", "status", "--namespace", cluster.Namespace, "daemonset/kdoctor-agent",
		"--timeout=60s")
}

// wantHandedOver wants every agent to have reported, the one of the pod that was deleted too.
func wantHandedOver(t *testing.T, r systemv1beta1.KdoctorReport, deleted string) {
	t.Helper()
	if len(r.Spec.NotReported) != 0 || !slices.ContainsFunc(r.Spec.Report,
		func(a systemv1beta1.Report) bool { return a.PodName == deleted }) {
		t.Errorf("without a report: %+v; want nobody, and a report of %s", r.Spec.NotReported, deleted)
	}
}

// deletedElsewhere breaks a Service on one node while another node's agent is deleted. The Service never leads the
// first node to it.
func deletedElsewhere(t *testing.T, l life) {
	const node, other, third = "n0", "n1", "n2"
	l.patchService(t, "kdoctor-agent-ipv4", `{"internalTrafficPolicy":"Local"}`, `{"internalTrafficPolicy":"Cluster"}`)
	l.settle(t)
	deleted, _ := agentOn(t, l.Cluster, other)
	heal := l.fault(t, node, "closed", "chain pre { type filter hook prerouting priority -300; "+
		at(l.service(t, "kdoctor-agent-ipv4"))+" drop; }")
	l.apply(t, "elsewhere", "request: {durationInSecond: 6, qps: 20, perRequestTimeoutInMS: 500}\n"+
		"  target: {endpoint: false, nodePort: false}")
	l.begun(t, l.ongoing(t, "elsewhere", time.Minute))
	l.deletePod(t, deleted)
	wantRound(t, l.finished(t, "elsewhere", 90*time.Second), v1beta1.RecordFail)
	heal()
	r := l.report(t, "netreach-elsewhere")
	for _, d := range wantVerdict(t, r, node, "AgentClusterV4IP", "fail") {
		wantUnexcused(t, d)
	}
	for _, d := range wantVerdict(t, r, third, "AgentClusterV4IP", "pass") {
		wantAnswers(t, third, d, 120)
	}
	wantHandedOver(t, r, deleted)
	l.replaced(t)
	l.settle(t)
}

// brokenWhileReplaced loses half of the connections to a Service on one node, while the agents of the others are
// replaced one after the other, between two looks of the controller. Two of three backends are away at some time, and
// never more than one at a time. The other family's Service is whole.
func brokenWhileReplaced(t *testing.T, l life) {
	const node = "n0"
	heal := l.fault(t, node, "lossy", "chain pre { type filter hook prerouting priority -300; "+
		at(l.service(t, "kdoctor-agent-ipv4"))+" tcp flags & (syn|ack) == syn numgen random mod 2 == 0 drop; }")
	l.apply(t, "replaced", "request: {durationInSecond: 20, qps: 20, perRequestTimeoutInMS: 500}\n"+
		"  target: {ipv4: true, ipv6: true, endpoint: false, nodePort: false}")
	l.begun(t, l.ongoing(t, "replaced", time.Minute))
	for _, other := range []string{"n1", "n2"} {
		pod, _ := agentOn(t, l.Cluster, other)
		// This waits until the pod is gone.
		kubectl(t, l.Cluster, "delete", "pod", "--namespace", cluster.Namespace, pod)
		l.replaced(t)
	}
	if running := l.task(t, "replaced"); running.Status.Finish {
		t.Error("the round was over before both agents had been replaced")
	}
	wantRound(t, l.finished(t, "replaced", 90*time.Second), v1beta1.RecordFail)
	heal()
	r := l.report(t, "netreach-replaced")
	wantVerdict(t, r, node, "AgentClusterV4IP", "fail")
	wantVerdict(t, r, node, "AgentClusterV6IP", "pass")
	l.settle(t)
}

// deletedBehindNodePort deletes the agent on one node, whose node port leads to it alone, and closes the node port of
// another node to one asker. It does so with agents on the nodes' network: kube-proxy lets pods in on any node, as if
// the policy were another.
func deletedBehindNodePort(t *testing.T, l life) {
	const asker, other, closed = "n0", "n1", "n2"
	l.patchService(t, "kdoctor-agent-ipv4", `{"externalTrafficPolicy":"Local"}`, `{"externalTrafficPolicy":"Cluster"}`)
	l.made(t, "behind", "{hostNetwork: true, terminationGracePeriodMinutes: 0}",
		"request: {durationInSecond: 20, qps: 10, perRequestTimeoutInMS: 500}\n  target: {"+onlyNodePorts+"}", nil)
	port := l.service(t, "kdoctor-netreach-behind-ipv4").Spec.Ports[0].NodePort
	defer l.fault(t, closed, "closed", fmt.Sprintf(
		"chain pre { type filter hook prerouting priority -300; ip saddr 198.18.0.10 tcp dport %d drop; }", port))()
	l.resume(t, "behind")
	l.begun(t, l.ongoing(t, "behind", time.Minute))
	l.deletePod(t, strings.TrimSpace(kubectl(t, l.Cluster, "get", "pods", "--namespace", cluster.Namespace,
		"-l", "app.kubernetes.io/name=kdoctor-netreach-behind", "--field-selector", "spec.nodeName="+other,
		"-o", "jsonpath={.items[0].metadata.name}")))
	wantRound(t, l.finished(t, "behind", 90*time.Second), v1beta1.RecordFail)
	r := l.report(t, "netreach-behind")
	for _, d := range wantVerdict(t, r, asker, "AgentNodePortV4IP_198.18.0.12_", "fail") {
		wantUnexcused(t, d)
	}
	for _, from := range []string{asker, closed} {
		for _, d := range targets(t, r, from, "AgentNodePortV4IP_198.18.0.11_") {
			if m := d.Metrics; verdictOf(d) == "fail" || m.VoidRequests == 0 || len(m.Excuses) == 0 {
				t.Errorf("node %s, %s: %s (%s), %d void, excuses %+v; want that the deletion explains what failed",
					from, d.TargetName, verdictOf(d), reason(d), m.VoidRequests, m.Excuses)
			}
		}
	}
}
