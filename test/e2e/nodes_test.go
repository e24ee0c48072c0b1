package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// fleet are scenarios about which nodes a round ought to look at, and by which of their addresses.
func fleet() []scenario {
	return []scenario{
		{"further addresses of a node are probed where that is asked for, and refused by kube-proxy with nftables",
			furtherAddresses},
		{"a virtual node takes no part, and is told of", virtualNode},
		{"a node whose agent cannot be made is missing, though another node has one too many", misscheduled},
		{"a node that is scaled down as the round begins is no dead node, and one that was cordoned long before is",
			scaledDown},
	}
}

// kubelet is the process of a node's kubelet.
func kubelet(t *testing.T, c *cluster.Cluster, lab, node string) int {
	t.Helper()
	for _, d := range status(t, c, lab).Daemons {
		if d.Name == "kubelet-"+node {
			return d.PID
		}
	}
	t.Fatalf("there is no kubelet of %s", node)
	return 0
}

// stopped stops a kubelet until the returned function is called, or the test ends.
func stopped(t *testing.T, c *cluster.Cluster, lab, node string) (resume func()) {
	t.Helper()
	process := kubelet(t, c, lab, node)
	if err := syscall.Kill(process, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop the kubelet of %s: %v", node, err)
	}
	resume = func() {
		if err := syscall.Kill(process, syscall.SIGCONT); err != nil {
			t.Errorf("let the kubelet of %s go on: %v", node, err)
		}
	}
	t.Cleanup(resume)
	return resume
}

// secondAddress gives a node's first interface a further address, with its prefix.
func secondAddress(t *testing.T, c *cluster.Cluster, node, address string) (remove func()) {
	t.Helper()
	change := func(what string) {
		_, err := c.Exec(context.WithoutCancel(t.Context()), node, "ip", "addr", what, address, "dev", "eth0")
		if err != nil {
			t.Errorf("%s the address %s of %s: %v", what, address, node, err)
		}
	}
	change("add")
	return func() { change("del") }
}

// tellAddresses has a Node tell of further addresses while its kubelet, which would correct that, stands still: less
// long than it takes until the node counts as lost.
func tellAddresses(
	t *testing.T, c *cluster.Cluster, lab, node string, further ...corev1.NodeAddress,
) (restore func()) {
	t.Helper()
	var found corev1.Node
	if err := c.Get(t.Context(), &found, "node", node); err != nil {
		t.Fatal(err)
	}
	resume := stopped(t, c, lab, node)
	write := func(addresses []corev1.NodeAddress) {
		text, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/status/addresses", "value": addresses}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Kubectl(context.WithoutCancel(t.Context()), "patch", "node", node, "--subresource=status",
			"--type=json", "-p", string(text))
		if err != nil {
			t.Errorf("change the addresses of %s: %v", node, err)
		}
	}
	write(append(slices.Clone(found.Status.Addresses), further...))
	return func() {
		write(found.Status.Addresses)
		resume()
	}
}

// furtherAddresses gives a node a second address, and one that nobody answers on, as behind a firewall. kube-proxy
// with nftables answers on the first.
func furtherAddresses(t *testing.T, l life) {
	const node, second, outer = "n1", "198.18.0.111", "198.18.0.222"
	defer secondAddress(t, l.Cluster, node, second+"/24")()
	defer tellAddresses(t, l.Cluster, lifeCluster, node,
		corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: second},
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: outer})()
	const load = "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 500}\n  target: {" + onlyNodePorts
	l.apply(t, "primary", load+"}")
	l.apply(t, "internal", load+", nodePortAddresses: Internal}")
	l.apply(t, "all", load+", nodePortAddresses: All}")
	primary := []string{"198.18.0.10", "198.18.0.11", "198.18.0.12"}
	for _, test := range []struct {
		name    string
		record  v1beta1.RecordStatus
		further []string
	}{
		{"primary", v1beta1.RecordSucceed, nil},
		{"internal", v1beta1.RecordFail, []string{second}},
		{"all", v1beta1.RecordFail, []string{second, outer}},
	} {
		wantRound(t, l.finished(t, test.name, time.Minute), test.record)
		r := l.report(t, "netreach-"+test.name)
		want := slices.Sorted(slices.Values(slices.Concat(primary, test.further)))
		for _, asker := range nodeNames() {
			if got := hosts(t, reportOn(t, r, asker), "AgentNodePortV4IP_"); !slices.Equal(got, want) {
				t.Errorf("%s, node %s: node ports at %v, want %v", test.name, asker, got, want)
			}
			for _, address := range primary {
				wantVerdict(t, r, asker, "AgentNodePortV4IP_"+address+"_", "pass")
			}
			for _, address := range test.further {
				wantVerdict(t, r, asker, "AgentNodePortV4IP_"+address+"_", "fail")
			}
		}
		found := findings(t, r, "NodePortAddresses")
		named := len(found) == 1 && strings.Contains(found[0].Message, "kube-proxy")
		if named != (test.further != nil) || len(r.Spec.Findings) != len(found) {
			t.Errorf("%s: the findings are %+v; want kube-proxy's rule alone, where further addresses refuse",
				test.name, r.Spec.Findings)
		}
	}
}

// bare makes the Node of something that is no machine of the lab. What is there because of it goes with the returned
// function.
func (l life) bare(t *testing.T, node *corev1.Node) (remove func()) {
	t.Helper()
	remove = func() {
		kubectl(t, l.Cluster, "delete", "node", node.Name)
		for _, pod := range l.agentPods(t) {
			if !podReady(pod) {
				kubectl(t, l.Cluster, "delete", "pod", "--namespace", cluster.Namespace, pod.Name, "--force",
					"--grace-period=0", "--ignore-not-found")
			}
		}
	}
	// Kubelets say it of their nodes, virtual ones too; agents run on no other.
	node.Labels = maps.Clone(node.Labels)
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[corev1.LabelOSStable] = string(corev1.Linux)
	status := node.Status
	if err := l.api.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	made := node.DeepCopy()
	node.Status = status
	if err := l.api.Status().Patch(t.Context(), node, client.MergeFrom(made)); err != nil {
		remove()
		t.Fatal(err)
	}
	return remove
}

// virtualNode makes the Node of a provider of pods without machines, as virtual kubelets do: it is ready, has an
// address, and no kube-proxy. The default agents tolerate its taint, so that there is a pod for it, which nobody
// runs.
func virtualNode(t *testing.T, l life) {
	node := &corev1.Node{}
	node.Name = "virtual"
	node.Labels = map[string]string{corev1.LabelHostname: node.Name, "type": "virtual-kubelet"}
	node.Spec.Taints = []corev1.Taint{
		{Key: "virtual-kubelet.io/provider", Value: "lab", Effect: corev1.TaintEffectNoSchedule},
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "198.18.0.199"}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	defer l.settle(t)
	defer l.bare(t, node)()
	eventually(t, 20*time.Second, "there is a pod for the node", func() error {
		if pods := l.agentPods(t); len(pods) != nodes+1 {
			return fmt.Errorf("there are %d agents", len(pods))
		}
		return nil
	})
	l.apply(t, "virtual", strings.Split(light, "\n")[0])
	wantRound(t, l.finished(t, "virtual", time.Minute), v1beta1.RecordSucceed)
	r := l.report(t, "netreach-virtual")
	wantPassed(t, r, nodes, lightly)
	for _, agent := range r.Spec.Report {
		if got := hosts(t, agent, "AgentNodePortV4IP_"); len(got) != nodes {
			t.Errorf("node %s: node ports at %v; want those of machines", agent.NodeName, got)
		}
	}
	wantOutside(t, l, r, node.Name)
}

// wantOutside checks that the report of a success names the nodes which the round did not look at.
func wantOutside(t *testing.T, l life, r systemv1beta1.KdoctorReport, names ...string) {
	t.Helper()
	var outside []string
	for _, o := range r.Spec.Outside {
		outside = append(outside, o.NodeName)
		if o.Reason == "" {
			t.Errorf("%s: why %s is outside is not told", r.Name, o.NodeName)
		}
	}
	if !slices.Equal(outside, names) {
		t.Errorf("%s: nodes that were not looked at: %+v; want %v", r.Name, r.Spec.Outside, names)
	}
	wantNote(t, l, r, "NodesLeftOut", names...)
}

// selected has agents on one of three nodes, because their node affinity says so.
func selected(t *testing.T, l life) {
	l.making(func() {
		l.apply(t, "selected", "suspend: true\n  agentSpec:"+`
    terminationGracePeriodMinutes: 0
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n1]}]}]
  `+light)
		l.created(t, "selected", nil)
	})
	l.resume(t, "selected")
	wantRound(t, l.finished(t, "selected", 90*time.Second), v1beta1.RecordSucceed)
	r := l.report(t, "netreach-selected")
	wantPassed(t, r, 1, lightly)
	wantOutside(t, l, r, "n0", "n2")
}

// tolerating has the template of the default agents tolerate only what is given, as JSON, and replaces nobody for that.
func (l life) tolerating(t *testing.T, tolerations string) (restore func()) {
	t.Helper()
	const workload = "kdoctor-agent"
	was := func(path string) string {
		return kubectl(t, l.Cluster, "get", "daemonset", "--namespace", cluster.Namespace, workload,
			"-o", "jsonpath={"+path+"}")
	}
	set := func(strategy, tolerations string) {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/updateStrategy","value":%s},`+
			`{"op":"replace","path":"/spec/template/spec/tolerations","value":%s}]`, strategy, tolerations)
		_, err := l.Kubectl(context.WithoutCancel(t.Context()), "patch", "daemonset", workload, "--namespace",
			cluster.Namespace, "--type=json", "-p", patch)
		if err != nil {
			t.Errorf("change the DaemonSet: %v", err)
		}
	}
	const onDelete = `{"type":"OnDelete"}`
	strategy, before := was(".spec.updateStrategy"), was(".spec.template.spec.tolerations")
	set(onDelete, tolerations)
	return func() {
		set(onDelete, before)
		set(strategy, before)
	}
}

// misscheduled makes the numbers agree where the nodes do not: one node's agent is no longer wanted there and stays,
// and a new node has none. New pods are refused, so that the new node's agent is not even Pending.
func misscheduled(t *testing.T, l life) {
	const joined, spare = "n9", "n2"
	in := []string{"--namespace", cluster.Namespace}
	defer l.tolerating(t, `[{"key":"node.kubernetes.io/not-ready","operator":"Exists"},`+
		`{"key":"node.kubernetes.io/unreachable","operator":"Exists"}]`)()
	kubectl(t, l.Cluster, "taint", "node", spare, "example.com/theirs=:NoSchedule")
	defer kubectl(t, l.Cluster, "taint", "node", spare, "example.com/theirs-")
	kubectl(t, l.Cluster, append(in, "create", "quota", "full", "--hard=pods=0")...)
	defer kubectl(t, l.Cluster, append(in, "delete", "quota", "full")...)
	becomes := func(what, want string, args ...string) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() error {
			out, err := l.Kubectl(t.Context(), slices.Concat(in, []string{"get"}, args)...)
			if err == nil && out != want {
				err = errors.New(out)
			}
			return err
		})
	}
	becomes("no pod is taken", "0", "quota", "full", "-o", "jsonpath={.status.hard.pods}")
	node := &corev1.Node{}
	node.Name, node.Labels = joined, map[string]string{corev1.LabelHostname: joined}
	defer l.bare(t, node)()
	// A change of the DaemonSet has its controller count again, should it have looked before it saw both nodes.
	kubectl(t, l.Cluster, append(in, "annotate", "daemonset", "kdoctor-agent", "example.com/counted=again")...)
	defer kubectl(t, l.Cluster, append(in, "annotate", "daemonset", "kdoctor-agent", "example.com/counted-")...)
	defer func() {
		if t.Failed() {
			t.Log(kubectl(t, l.Cluster, "get", "nodes", "-o",
				`jsonpath={range .items[*]}{.metadata.name}: {.spec.taints}{"\n"}{end}`))
		}
	}()
	becomes("the numbers agree", fmt.Sprintf("%d wanted, 1 too many", nodes), "daemonset", "kdoctor-agent", "-o",
		"jsonpath={.status.desiredNumberScheduled} wanted, {.status.numberMisscheduled} too many")
	if pods := l.agentPods(t); len(pods) != nodes {
		t.Fatalf("there are %d agents, want %d", len(pods), nodes)
	}
	l.apply(t, "numbers", light)
	record := l.finished(t, "numbers", time.Minute).Status.History[0]
	if record.Status != v1beta1.RecordFail || !slices.Equal(record.NotReportAgentNodeList, []string{joined}) {
		t.Errorf("the record is %+v; want a failure for want of an agent on %s", record, joined)
	}
	missing := l.report(t, "netreach-numbers").Spec.NotReported
	if len(missing) != 1 || missing[0].NodeName != joined || missing[0].Void {
		t.Errorf("without a report: %+v; want the node %s, with a reason", missing, joined)
	}
}
