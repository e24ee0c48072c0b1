package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

func TestScenarios(t *testing.T) {
	t.Parallel()
	c := up(t, "e2e", nodes,
		[]string{"service/kdoctor-agent-ipv4", "service/kdoctor-agent-ipv6", "ingress/kdoctor-agent"})
	onCluster(t, c, []clusterScenario{
		{"the seed's task, unmodified, succeeds", seedTask},
		{"after it a controller took 65 MB at most, and an idle agent takes 12", littleMemory},
		{"six kinds of targets in both families succeed with exactly the expected targets and requests", wholeMesh},
		{"a node without a pod network fails the round, is named, and reports all the same", brokenNode},
		{"deleting the task mid-round stops the traffic within two seconds and leaves nothing", deletedMidRound},
		{"a controller killed mid-round finishes the same round", killedController},
		{"a server that stalls for a second shows in the high percentiles, and blames nobody itself", stalledServer},
		{"a pod behind the Services that answers nobody is found and named", deadBackend},
		{"an address at which there is nobody, among the endpoints of a Service, is named before all else", deadEndpoint},
		{"an agent with too little CPU says that it is the limit", hungryAgent},
		{"a way that is narrower than its pods believe fails large answers, and no small ones", mtuBlackHole},
		{"a hundred targets ten times a second for a minute answer all that is sent", hundredTargets},
		{"a path that breaks during a heartbeat of ten seconds is told of within twenty", cutHeartbeat},
		{"a node that is cut off has events and, on request, a condition, and loses the condition again", cutNode},
		{"metrics are served to those who may read them, and have the round", scraped},
		{"a load balancer and an Ingress are there while a task asks for them, and not before or after", onDemand},
		{"helm test finds that the installation answers", helmTest},
		{"helm uninstall leaves nothing", uninstall},
	})
}

// clusterScenario is one thing that is promised, and how it is seen on a cluster.
type clusterScenario struct {
	name string
	run  func(*testing.T, *cluster.Cluster)
}

// onCluster runs the scenarios one after the other. Later ones still tell something when an earlier one failed, so none
// stops the others.
func onCluster(t *testing.T, c *cluster.Cluster, scenarios []clusterScenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { s.run(t, c) })
	}
}

// wantSuccess checks status and report of a finished task in which every node reached everything,
// with the number of targets of each shape and of requests per target.
func wantSuccess(t *testing.T, c *cluster.Cluster, name string, shapes map[string]int,
	requests int64) systemv1beta1.KdoctorReport {
	t.Helper()
	done := finished(t, c, name)
	if done.Status.LastRoundStatus == nil || *done.Status.LastRoundStatus != v1beta1.Succeed {
		t.Errorf("last round: %+v", done.Status)
	}
	if diff := cmp.Diff(nodeNames(), done.Status.History[0].SucceedAgentNodeList); diff != "" {
		t.Errorf("nodes that succeeded (-want +got):\n%s", diff)
	}
	report := reportOf(t, c, name)
	if len(report.Spec.Report) != nodes {
		t.Fatalf("%d agents reported, want %d", len(report.Spec.Report), nodes)
	}
	total := 0
	for _, n := range shapes {
		total += n
	}
	for _, agent := range report.Spec.Report {
		if agent.RoundResult != "succeed" || agent.NetReachTask.TargetNumber != int64(total) {
			t.Errorf("node %s: result %s with %d targets, want succeed with %d", agent.NodeName, agent.RoundResult,
				agent.NetReachTask.TargetNumber, total)
		}
		seen := map[string]int{}
		for _, detail := range agent.NetReachTask.Detail {
			seen[shape(detail.TargetName)]++
			checkDetail(t, agent.NodeName, detail, requests)
		}
		if diff := cmp.Diff(shapes, seen); diff != "" {
			t.Errorf("node %s: targets by shape (-want +got):\n%s", agent.NodeName, diff)
		}
	}
	return report
}

func checkDetail(t *testing.T, node string, detail systemv1beta1.TargetDetail, requests int64) {
	t.Helper()
	m := detail.Metrics
	if !detail.Succeed || m.RequestCounts != requests || m.SuccessCounts != requests ||
		m.StatusCodes["200"] != requests || len(m.Errors) != 0 {
		t.Errorf("node %s, %s: %d sent, %d succeeded, statuses %v, errors %v; want %d of each and no error", node,
			detail.TargetName, m.RequestCounts, m.SuccessCounts, m.StatusCodes, m.Errors, requests)
	}
	l := m.Latencies
	if ordered := []float64{l.MinInMs, l.P50InMs, l.P90InMs, l.P95InMs, l.P99InMs, l.MaxInMs}; ordered[0] <= 0 ||
		!slices.IsSorted(ordered) {
		t.Errorf("node %s, %s: latencies %+v are not above zero and in order", node, detail.TargetName, l)
	}
}

func seedTask(t *testing.T, c *cluster.Cluster) {
	manifest, err := os.ReadFile("../../examples/netreach.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, c, "task", string(manifest))
	wantSuccess(t, c, "task", map[string]int{
		"AgentPodV4IP": nodes, "AgentClusterV4IP": 1, "AgentNodePortV4IP": nodes, "AgentLoadbalancerV4IP": 1,
		"AgentIngress_http://": 1,
	}, 100)
	table := strings.Fields(kubectl(t, c, "get", "netreach"))
	want := []string{"NAME", "FINISH", "EXPECTEDROUND", "DONEROUND", "LASTROUNDSTATUS", "SCHEDULE", "AGE", "task",
		"true", "1", "1", "succeed", "0", "1"}
	if age := len(table) - 1; age != len(want) || !cmp.Equal(want, table[:age]) {
		diff := cmp.Diff(append(want, "<age>"), table)
		t.Errorf("kubectl get netreach (-want +got):\n%s", diff)
	}
	if list := kubectl(t, c, "get", "kdoctorreport"); !strings.Contains(list, "netreach-task") {
		t.Errorf("kubectl get kdoctorreport does not list netreach-task:\n%s", list)
	}
	if text, err := c.Program(t.Context(), "kubectl-kdoctor", "report", "task"); err != nil {
		t.Errorf("kubectl kdoctor report: %v\n%s", err, text)
	}
}

const everything = `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: %s}
spec:
  schedule: {schedule: "0 1", roundNumber: 1, roundTimeoutMinute: 1}
  request: {durationInSecond: %d, qps: %d, perRequestTimeoutInMS: 1000}
  expect: {successRate: 1, meanAccessDelayInMs: 1500}
  target: {ipv4: true, ipv6: true, endpoint: true, multusInterface: true, clusterIP: true, nodePort: true,
    loadBalancer: true, ingress: true}
`

func wholeMesh(t *testing.T, c *cluster.Cluster) {
	apply(t, c, "mesh", fmt.Sprintf(everything, "mesh", 10, 10))
	report := wantSuccess(t, c, "mesh", map[string]int{
		// A pod's own address and its second interface bear names of one form.
		"AgentPodV4IP": 2 * nodes, "AgentPodV6IP": 2 * nodes,
		"AgentClusterV4IP": 1, "AgentClusterV6IP": 1, "AgentNodePortV4IP": nodes, "AgentNodePortV6IP": nodes,
		"AgentLoadbalancerV4IP": 1, "AgentLoadbalancerV6IP": 1, "AgentIngress_http://": 1, "AgentIngress_http://[": 1,
	}, 100)
	var sent int64
	for _, agent := range report.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			sent += detail.Metrics.RequestCounts
		}
	}
	if answered := served(t, c, task(t, c, "mesh")); answered != uint64(sent) {
		t.Errorf("agents sent %d requests and answered %d; want the same", sent, answered)
	}
}

// workerWithoutController returns a node whose network can be cut without cutting the controller off.
func workerWithoutController(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	where := kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/component=kdoctor-controller", "-o", "jsonpath={.items[*].spec.nodeName}")
	for _, node := range []string{"n2", "n1"} {
		if !strings.Contains(where, node) {
			return node
		}
	}
	t.Fatalf("the controller runs on %q, so there is no node to cut", where)
	return ""
}

func brokenNode(t *testing.T, c *cluster.Cluster) {
	node := workerWithoutController(t, c)
	cut := func(args ...string) {
		if _, err := c.Exec(t.Context(), node, append([]string{"nft"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	cut("add table inet cut")
	healed := false
	heal := func() {
		if !healed {
			healed = true
			cut("delete table inet cut")
		}
	}
	defer heal()
	cut("add chain inet cut forward { type filter hook forward priority -300; policy drop; }")

	apply(t, c, "broken", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: broken}
spec:
  request: {durationInSecond: 3, qps: 5, perRequestTimeoutInMS: 500}
  target: {ipv4: true, ipv6: true, nodePort: false, clusterIP: false}
`)
	done := finished(t, c, "broken")
	latest := done.Status.History[0]
	if latest.Status != v1beta1.RecordFail || len(latest.NotReportAgentNodeList) != 0 ||
		!slices.Contains(latest.FailedAgentNodeList, node) {
		t.Errorf("the round's record is %+v; want a failure of %s with every agent's report in", latest, node)
	}
	report := reportOf(t, c, "broken")
	pods := map[string]string{}
	for _, agent := range report.Spec.Report {
		pods[agent.NodeName] = agent.PodName
	}
	for _, agent := range report.Spec.Report {
		bad := failing(agent)
		if agent.NodeName == node {
			if agent.FetchedBy != "port-forward" || len(bad) != 2*(nodes-1) {
				t.Errorf("the broken node's report came by %q with failing targets %v; want port-forward and the "+
					"other nodes' pods in both families", agent.FetchedBy, bad)
			}
			continue
		}
		if len(bad) != 2 || !strings.Contains(bad[0], pods[node]) || !strings.Contains(bad[1], pods[node]) {
			t.Errorf("node %s: failing targets %v; want those of pod %s alone", agent.NodeName, bad, pods[node])
		}
	}
	text, err := c.Program(t.Context(), "kubectl-kdoctor", "report", "broken")
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(text, node) {
		t.Errorf("kubectl kdoctor report must exit with 1 and name %s; got %v:\n%s", node, err, text)
	}
	heal()
}

func deletedMidRound(t *testing.T, c *cluster.Cluster) {
	const node = "n1"
	exec := func(args ...string) string {
		out, err := c.Exec(t.Context(), node, append([]string{"nft"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// Only what agents send counts: a load balancer's health checks reach the pods of this node by way of the others,
	// and never stop.
	exec("add table inet watch")
	defer exec("delete table inet watch")
	exec("add chain inet watch pre { type filter hook prerouting priority -300; }")
	exec("add counter inet watch requests")
	for _, address := range strings.Fields(kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/name=kdoctor-agent",
		"-o", "jsonpath={.items[*].status.podIPs[*].ip}")) {
		family := "ip"
		if strings.Contains(address, ":") {
			family = "ip6"
		}
		exec("add", "rule", "inet", "watch", "pre", family, "saddr", address,
			"tcp dport 8080 tcp flags & (syn|ack) == syn counter name requests")
	}
	counter := func() string { return exec("list counter inet watch requests") }

	apply(t, c, "gone", fmt.Sprintf(everything, "gone", 50, 10))
	before := ongoing(t, c, "gone")
	idle := counter()
	eventually(t, 20*time.Second, "requests flow", func() error {
		if counter() == idle {
			return errors.New("the counter stands still")
		}
		return nil
	})
	kubectl(t, c, "delete", "netreach", "gone")
	deleted := time.Now()
	var last string
	eventually(t, 10*time.Second, "the requests stop", func() error {
		if now := counter(); now != last {
			last = now
			return errors.New("the counter still moves")
		}
		return nil
	})
	// The counter is read twice a poll apart, so the traffic itself had stopped one poll earlier.
	if took := time.Since(deleted) - pollInterval; took > 2*time.Second {
		t.Errorf("the traffic went on for %v after the task was deleted, want at most 2 s", took)
	}
	if out, err := c.Kubectl(t.Context(), "get", "kdoctorreport", "netreach-gone"); err == nil {
		t.Errorf("a report of the deleted task is left: %s", out)
	}
	if still := running(t, c, before); len(still) != 0 {
		t.Errorf("agents that did not stop the deleted task's round: %v", still)
	}
}

func killedController(t *testing.T, c *cluster.Cluster) {
	apply(t, c, "resumed", fmt.Sprintf(everything, "resumed", 12, 5))
	before := ongoing(t, c, "resumed")
	kubectl(t, c, "delete", "pod", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/component=kdoctor-controller", "--force", "--grace-period=0")
	report := wantSuccess(t, c, "resumed", map[string]int{
		"AgentPodV4IP": 2 * nodes, "AgentPodV6IP": 2 * nodes,
		"AgentClusterV4IP": 1, "AgentClusterV6IP": 1, "AgentNodePortV4IP": nodes, "AgentNodePortV6IP": nodes,
		"AgentLoadbalancerV4IP": 1, "AgentLoadbalancerV6IP": 1, "AgentIngress_http://": 1, "AgentIngress_http://[": 1,
	}, 60)
	after := task(t, c, "resumed")
	if len(after.Status.History) != 1 ||
		!after.Status.History[0].StartTimeStamp.Equal(&before.Status.History[0].StartTimeStamp) {
		t.Errorf("the history is %+v; want the one round that began at %v", after.Status.History,
			before.Status.History[0].StartTimeStamp)
	}
	if report.Spec.ReportRoundNumber != 1 {
		t.Errorf("the report is about round %d, want 1", report.Spec.ReportRoundNumber)
	}
}

// onDemand has an installation with the default values: nothing that others can reach is there until a task asks.
func onDemand(t *testing.T, c *cluster.Cluster) {
	if err := c.Install(t.Context(), "--set", "agent.loadBalancer.mode=OnDemand", "--set", "ingress.mode=OnDemand",
		"--set", "agent.loadBalancer.keep=5s"); err != nil {
		t.Fatal(err)
	}
	public := func() string {
		types := kubectl(t, c, "get", "services", "--namespace", cluster.Namespace, "-o",
			"jsonpath={.items[*].spec.type}")
		ingresses := kubectl(t, c, "get", "ingresses", "--namespace", cluster.Namespace, "-o", "name")
		return fmt.Sprint(strings.Contains(types, "LoadBalancer"), ingresses != "")
	}
	nothing := func() error {
		if now := public(); now != "false false" {
			return fmt.Errorf("a load balancer and an Ingress: %s", now)
		}
		return nil
	}
	eventually(t, 90*time.Second, "what was always there is gone", nothing)
	apply(t, c, "on-demand", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: on-demand}
spec:
  schedule: {roundTimeoutMinute: 1}
  request: {durationInSecond: 2, qps: 5, perRequestTimeoutInMS: 1000}
  target: {ipv6: true, loadBalancer: true, ingress: true}
`)
	done := finished(t, c, "on-demand")
	if done.Status.LastRoundStatus == nil || *done.Status.LastRoundStatus != v1beta1.Succeed {
		t.Errorf("the round did not succeed: %+v", done.Status)
	}
	balanced := 0
	for _, agent := range reportOf(t, c, "on-demand").Spec.Report {
		for _, d := range agent.NetReachTask.Detail {
			if strings.HasPrefix(d.TargetName, "AgentLoadbalancer") || strings.HasPrefix(d.TargetName, "AgentIngress") {
				balanced++
			}
		}
	}
	if balanced != 4*nodes {
		t.Errorf("%d targets behind the load balancer and the Ingress, want %d", balanced, 4*nodes)
	}
	eventually(t, 90*time.Second, "they are gone after the task's end", nothing)
}

func helmTest(t *testing.T, c *cluster.Cluster) {
	text, err := c.Helm(t.Context(), "test", "kdoctor", "--namespace", cluster.Namespace, "--timeout", "150s")
	if err != nil || !strings.Contains(text, "Succeeded") {
		t.Errorf("helm test: %v\n%s", err, text)
	}
}

func uninstall(t *testing.T, c *cluster.Cluster) {
	if _, err := c.Helm(t.Context(), "uninstall", "kdoctor", "--namespace", cluster.Namespace, "--wait", "--timeout",
		"60s"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "nothing of kdoctor is left", func() error {
		if left := leftovers(t, c); len(left) != 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
}

// leftovers lists every object in the release's namespace that Kubernetes did not put there itself,
// and every cluster-wide one that bears our name.
func leftovers(t *testing.T, c *cluster.Cluster) []string {
	t.Helper()
	list := func(namespaced string) []string {
		return strings.Fields(kubectl(t, c, "api-resources", "--verbs=list", "--namespaced="+namespaced, "-o", "name"))
	}
	var left []string
	get := func(keep func(string) bool, args ...string) {
		for _, name := range strings.Fields(kubectl(t, c,
			append([]string{"get", "--ignore-not-found", "-o", "name"}, args...)...)) {
			if keep(name) {
				left = append(left, name)
			}
		}
	}
	inNamespace := slices.DeleteFunc(list("true"), func(r string) bool { return strings.HasPrefix(r, "events") })
	get(func(name string) bool {
		return name != "configmap/kube-root-ca.crt" && name != "serviceaccount/default"
	},
		strings.Join(inNamespace, ","), "--namespace", cluster.Namespace)
	clusterWide := slices.DeleteFunc(list("false"), func(r string) bool { return r == "namespaces" })
	get(func(name string) bool { return strings.Contains(name, "kdoctor") }, strings.Join(clusterWide, ","))
	return left
}
