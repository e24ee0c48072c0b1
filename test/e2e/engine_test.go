package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/test/cluster"
)

// agentProcess is the process of an agent's pod, as this machine sees it. Its environment names the pod.
func agentProcess(t *testing.T, pod string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		environment, err := os.ReadFile(file)
		if err == nil && slices.Contains(strings.Split(string(environment), "\x00"), "POD_NAME="+pod) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no process of pod %s", pod)
	return 0
}

// agentOn is the default agent's pod on the node.
func agentOn(t *testing.T, c *cluster.Cluster, node string) (pod, address string) {
	t.Helper()
	out := kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l", "app.kubernetes.io/name=kdoctor-agent",
		"--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}")
	pod, address, ok := strings.Cut(out, " ")
	if !ok {
		t.Fatalf("no agent on %s: %q", node, out)
	}
	return pod, address
}

func reportOn(t *testing.T, r systemv1beta1.KdoctorReport, node string) systemv1beta1.Report {
	t.Helper()
	for _, agent := range r.Spec.Report {
		if agent.NodeName == node {
			return agent
		}
	}
	t.Fatalf("no report of node %s", node)
	return systemv1beta1.Report{}
}

// stalledServer stops an agent for one second of eight: whoever asks it sees that in the high percentiles and nowhere
// else, and the agent itself, which could not look in that second, blames nobody.
func stalledServer(t *testing.T, c *cluster.Cluster) {
	const node = "n1"
	pod, _ := agentOn(t, c, node)
	pid := agentProcess(t, pod)
	apply(t, c, "stalled", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: stalled}
spec:
  request: {durationInSecond: 8, qps: 50, perRequestTimeoutInMS: 3000}
  expect: {meanAccessDelayInMs: 1000}
  target: {ipv4: true, ipv6: false, nodePort: false, clusterIP: false}
`)
	ongoing(t, c, "stalled")
	// The fault itself: it lasts a second, three seconds after the load began.
	<-time.After(3 * time.Second)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	finished(t, c, "stalled")
	found := reportOf(t, c, "stalled")
	for _, agent := range found.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			l := detail.Metrics.Latencies
			switch {
			case agent.NodeName == node:
				if !detail.Succeed && detail.Result != "tool-limited" {
					t.Errorf("the stopped agent blames %s: %s", detail.TargetName, reason(detail))
				}
			case strings.Contains(detail.TargetName, pod):
				// Of requests at a steady rate for 8 s, those of one second wait for up to 1 s: the 99th percentile is
				// 920 ms.
				if l.P99InMs < 800 || l.P99InMs > 1100 || l.P50InMs > 100 || !detail.Succeed {
					t.Errorf("%s sees the stopped agent with latencies %+v, success %v (%s); want a 99th percentile "+
						"about 920 ms", agent.NodeName, l, detail.Succeed, reason(detail))
				}
			case l.P99InMs > 500 || !detail.Succeed:
				t.Errorf("%s sees %s with latencies %+v, success %v (%s)", agent.NodeName, detail.TargetName, l,
					detail.Succeed, reason(detail))
			}
		}
	}
	limited := reportOn(t, found, node)
	if !slices.ContainsFunc(limited.NetReachTask.Detail,
		func(d systemv1beta1.TargetDetail) bool { return d.Result == "tool-limited" }) {
		t.Errorf("the stopped agent does not say that it was the limit: %+v", limited.NetReachTask.Detail)
	}
}

func reason(d systemv1beta1.TargetDetail) string {
	if d.FailureReason == nil {
		return ""
	}
	return *d.FailureReason
}

// deadBackend drops what is sent to one of the pods behind the Service; the pod is named by what it did not answer.
func deadBackend(t *testing.T, c *cluster.Cluster) {
	const node = "n1"
	pod, address := agentOn(t, c, node)
	nft := func(args ...string) {
		if _, err := c.Exec(t.Context(), node, append([]string{"nft"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	nft("add table inet dead")
	defer nft("delete table inet dead")
	nft("add chain inet dead forward { type filter hook forward priority -300; }")
	nft("add rule inet dead forward ip daddr", address, "tcp dport 8080 drop")
	apply(t, c, "dead", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: dead}
spec:
  request: {durationInSecond: 4, qps: 25, perRequestTimeoutInMS: 500}
  target: {ipv4: true, ipv6: false, nodePort: false, endpoint: false}
`)
	finished(t, c, "dead")
	found := reportOf(t, c, "dead")
	named := false
	for _, f := range found.Spec.Findings {
		here := strings.Contains(f.Where, pod) || strings.Contains(f.Where, "node "+node)
		named = named || here
		if !here {
			t.Errorf("a healthy thing is blamed: %+v", f)
		}
	}
	if !named {
		t.Errorf("the pod %s that answers nobody is not found; findings %+v", pod, found.Spec.Findings)
	}
	for _, agent := range found.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			if detail.Succeed || !slices.Contains(detail.Metrics.SilentBackends, pod) ||
				detail.Metrics.Backends[pod] != 0 {
				t.Errorf("%s, %s: success %v, silent %v, answered %v; want a failure with %s silent", agent.NodeName,
					detail.TargetName,
					detail.Succeed, detail.Metrics.SilentBackends, detail.Metrics.Backends, pod)
			}
		}
	}
}

// deadEndpoint leads a Service to an address of the pod network that nobody has, as an EndpointSlice that was made by
// hand or left behind does: a quarter of its connections is lost, and no pod is to blame.
func deadEndpoint(t *testing.T, c *cluster.Cluster) {
	const address = "198.19.0.250"
	if _, err := c.Apply(t.Context(), fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: left-behind
  namespace: %s
  labels: {kubernetes.io/service-name: kdoctor-agent-ipv4}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}]
`, cluster.Namespace, address)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		kubectl(t, c, "delete", "endpointslice", "--namespace", cluster.Namespace, "left-behind")
		settling, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Settle(settling, nodes); err != nil {
			t.Error(err)
		}
		// The nodes' kernels track connections to the address for two minutes, and lead a client there that uses a
		// local port again: that would fail a few requests of later scenarios.
		for i := range nodes {
			forget(t, c, fmt.Sprintf("n%d", i), address)
		}
	}()
	apply(t, c, "left-behind", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: left-behind}
spec:
  request: {durationInSecond: 4, qps: 25, perRequestTimeoutInMS: 500}
  target: {ipv4: true, ipv6: false, nodePort: false}
`)
	finished(t, c, "left-behind")
	found := reportOf(t, c, "left-behind").Spec.Findings
	if len(found) == 0 || found[0].Reason != "StrangeEndpoint" || found[0].Confidence != "high" ||
		!strings.Contains(found[0].Message, address) || found[0].Where != "Service kdoctor-agent-ipv4" {
		t.Errorf("findings %+v; want the address %s of Service kdoctor-agent-ipv4 first", found, address)
	}
}

// forget deletes what the node's kernel tracks of connections to the address. That there are none is no error.
func forget(t *testing.T, c *cluster.Cluster, node, address string) {
	t.Helper()
	for _, side := range []string{"--reply-src", "--orig-dst"} {
		out, err := c.Exec(context.WithoutCancel(t.Context()), node, "conntrack", "-D", side, address)
		if err != nil && !strings.Contains(err.Error(), "0 flow entries have been deleted") {
			t.Errorf("delete tracked connections on %s: %v: %s", node, err, out)
		}
	}
}

// hungryAgent gives one agent a twenty-fifth of a CPU and more work than that is enough for: it must say so, and call
// neither the network slow nor all well; nor may the others. The load is one that load balancer and Ingress of the lab
// bear on a busy machine.
func hungryAgent(t *testing.T, c *cluster.Cluster) {
	const node = "n1"
	pod, _ := agentOn(t, c, node)
	restore := limitCPU(t, agentProcess(t, pod), 4)
	defer restore()
	apply(t, c, "hungry", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: hungry}
spec:
  request: {durationInSecond: 8, qps: 30, perRequestTimeoutInMS: 1000}
  expect: {successRate: 1, meanAccessDelayInMs: 1500}
  target: {ipv4: true, ipv6: true, multusInterface: true, loadBalancer: true, ingress: true}
`)
	finished(t, c, "hungry")
	restore()
	found := reportOf(t, c, "hungry")
	limited := reportOn(t, found, node)
	if limited.RoundResult != "fail" || limited.NetReachTask.Observer == nil ||
		limited.NetReachTask.Observer.ThrottledShare == 0 {
		t.Errorf("the throttled agent: result %s, observer %+v; want a failure with throttled periods",
			limited.RoundResult, limited.NetReachTask.Observer)
	}
	for _, detail := range limited.NetReachTask.Detail {
		if detail.Result != "tool-limited" {
			t.Errorf("the throttled agent says %q of %s (success %v): %s", detail.Result, detail.TargetName,
				detail.Succeed, reason(detail))
		}
	}
	// Whoever asks it sees that it is slow, and blames nobody for it.
	for _, agent := range found.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			if agent.NodeName != node && verdictOf(detail) == "fail" {
				m := detail.Metrics
				t.Errorf("%s blames %s: %s: errors %v, %d void requests, answers of %d pods %v", agent.NodeName,
					detail.TargetName, reason(detail), m.Errors, m.VoidRequests, m.BackendsExpected, m.Backends)
			}
		}
	}
}

// limitCPU bounds the process's cgroup to percent of one core. The function that it returns takes the bound away again.
func limitCPU(t *testing.T, pid, percent int) (restore func()) {
	t.Helper()
	file, value, none := cpuQuota(t, pid, percent)
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Errorf("set the CPU limit: %v", err)
		}
	}
	write(value)
	done := false
	return func() {
		if !done {
			done = true
			write(none)
		}
	}
}

// cgroups is where the kernel shows them.
const cgroups = "/sys/fs/cgroup"

// cpuQuota is the file with the process's CPU limit, and what to write for percent of one core and for no limit, in
// either version of cgroups.
func cpuQuota(t *testing.T, pid, percent int) (file, value, none string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case slices.Contains(strings.Split(parts[1], ","), "cpu"):
			for _, hierarchy := range []string{parts[1], "cpu"} {
				file := filepath.Join(cgroups, hierarchy, parts[2], "cpu.cfs_quota_us")
				if _, err := os.Stat(file); err == nil {
					return file, strconv.Itoa(percent * 1000), "-1"
				}
			}
		case parts[1] == "":
			file := filepath.Join(cgroups, parts[2], "cpu.max")
			if _, err := os.Stat(file); err == nil {
				return file, fmt.Sprintf("%d 100000", percent*1000), "max 100000"
			}
		}
	}
	t.Fatalf("process %d has no CPU limit that can be set: %s", pid, text)
	return "", "", ""
}

// hundredTargets has every agent ask a hundred targets ten times a second for a minute. All requests are sent and
// answered. Only a machine without idle CPU may keep agents from sending some; the agents say how many.
func hundredTargets(t *testing.T, c *cluster.Cluster) {
	const each, targets, seconds = 10, 100, 60
	found, before := dial(t, c), readCPU(t)
	key := schedule.Key{UID: "e2e-hundred-targets", Generation: 1, Round: 1}
	for _, agent := range found.all {
		plan := mesh.Plan{Key: key, Task: report.TaskRef{Kind: "NetReach", Name: "hundred"}, Agent: agent,
			Limit: 2 * seconds * time.Second,
			Load: mesh.Load{PerSecond: each, Duration: seconds * time.Second, Timeout: 2 * time.Second,
				Connection: mesh.Both}}
		for i := range targets {
			to := found.all[i%len(found.all)]
			plan.Targets = append(plan.Targets, target.Target{
				ID: fmt.Sprintf("t%d", i), Kind: target.Endpoint,
				Family: topology.FamilyOf(to.Addresses[i/len(found.all)%2]), Protocol: target.HTTP,
				Address: fmt.Sprintf("http://%s/t%d", target.HostPort(to.Addresses[i/len(found.all)%2], to.HTTPPort),
					i), Pod: to.Pod, Node: to.Node,
			})
		}
		if err := found.client.Start(t.Context(), agent, plan); err != nil {
			t.Fatal(err)
		}
	}
	var scheduled, sent, answered, sentKept, answeredKept uint64
	for _, agent := range found.all {
		got := awaitEnd(t, found, agent, key, 2*seconds*time.Second)
		for _, p := range got.Paths {
			if p.Scheduled != each*seconds || p.Sent+p.Missed != p.Scheduled || p.OK != p.Sent {
				t.Errorf("%s, %s: %d scheduled, %d missed, %d sent, %d succeeded, failures %v; want %d scheduled, and "+
					"all that was sent to succeed", agent.Node, p.Target.ID, p.Scheduled, p.Missed, p.Sent, p.OK,
					p.Failures, each*seconds)
			}
			scheduled += p.Scheduled
			sent += p.Sent
			kept := p.Persistent
			if kept == nil || kept.Sent == 0 || kept.Sent+kept.Missed != kept.Scheduled || kept.OK != kept.Sent ||
				kept.Reused+1 < kept.OK {
				t.Errorf("%s, %s: persistent stream %+v; want all of it over one connection", agent.Node, p.Target.ID,
					kept)
				continue
			}
			sentKept += kept.Sent
		}
	}
	idle, stolen := before.until(readCPU(t))
	if sent < scheduled && idle > 0.2 && stolen < 0.01 || sent < scheduled-scheduled/20 {
		t.Errorf("%d of %d requests were sent on a machine that was idle for %.0f%% of the time and had %.0f%% taken away; "+
			"want all, and at least 95%% on a machine without idle CPU", sent, scheduled, 100*idle, 100*stolen)
	}
	for _, agent := range found.all {
		got, err := found.client.Fetch(t.Context(), agent, key)
		if err != nil {
			t.Fatal(err)
		}
		answered += got.Served
		answeredKept += got.ServedPersistent
	}
	if sent != answered || sentKept != answeredKept {
		t.Errorf("%d requests were sent and %d answered, %d and %d over kept connections; want the same", sent,
			answered, sentKept, answeredKept)
	}
}

func awaitEnd(t *testing.T, found agents, agent topology.Agent, key schedule.Key,
	within time.Duration) (got report.AgentReport) {
	t.Helper()
	eventually(t, within, "the round of "+agent.Pod+" ends", func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if got, err = found.client.Fetch(ctx, agent, key); err == nil && got.Ended.IsZero() {
			err = fmt.Errorf("it runs since %v", got.Started)
		}
		return err
	})
	return got
}
