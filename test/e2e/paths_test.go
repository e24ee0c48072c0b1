package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// paths change the agents' Services, their Ingress or what is installed, of which agents of tasks' own are copies.
func paths() []scenario {
	return []scenario{
		{"a Service that keeps traffic on the node it reached is expected to", externalLocal},
		{"a Service that keeps the cluster's own traffic on its node is expected to", internalLocal},
		{"an Ingress with a host is asked for it over TLS, and its certificate is verified", ingressTLS},
		{"a headless Service is a gap beside the address of another", headless},
		{"until something is done to them, no program restarts or panics", sound},
	}
}

// hosts are the addresses in the URLs of the targets whose names begin with the prefix, sorted.
func hosts(t *testing.T, r systemv1beta1.Report, prefix string) []string {
	t.Helper()
	var found []string
	for _, d := range r.NetReachTask.Detail {
		if strings.HasPrefix(d.TargetName, prefix) {
			at, err := netip.ParseAddrPort(strings.TrimPrefix(d.TargetUrl, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, at.Addr().String())
		}
	}
	slices.Sort(found)
	return found
}

const onlyNodePorts = "endpoint: false, clusterIP: false, nodePort: true"

func nodePorts(t *testing.T, l life) {
	load := strings.Split(light, "\n")[0]
	l.apply(t, "ports", load+"\n  target: {ipv4: true, ipv6: true, "+onlyNodePorts+"}")
	l.apply(t, "ports-local", load+"\n  target: {ipv4: true, ipv6: true, "+onlyNodePorts+", nodePortNodes: Local}")
	for _, name := range []string{"ports", "ports-local"} {
		l.finished(t, name, time.Minute)
		r := l.report(t, "netreach-"+name)
		wantPassed(t, r, nodes, lightly)
		for _, agent := range r.Spec.Report {
			four, six := []string{"198.18.0.10", "198.18.0.11", "198.18.0.12"},
				[]string{"fd98:18::10", "fd98:18::11", "fd98:18::12"}
			if name == "ports-local" {
				own := slices.Index(nodeNames(), agent.NodeName)
				four, six = four[own:own+1], six[own:own+1]
			}
			if diff := cmp.Diff([][]string{four, six},
				[][]string{hosts(t, agent, "AgentNodePortV4IP_"), hosts(t, agent, "AgentNodePortV6IP_")}); diff != "" {
				t.Errorf("%s, node %s (-want +got):\n%s", name, agent.NodeName, diff)
			}
		}
	}
}

func connections(t *testing.T, l life) {
	const requests = 20
	for _, way := range []string{"new", "keepalive"} {
		l.apply(t, way, "request: {durationInSecond: 2, qps: 10, perRequestTimeoutInMS: 2000, connection: "+way+
			"}\n  target: {ipv4: true, ipv6: true}")
	}
	for _, way := range []string{"new", "keepalive"} {
		done := l.finished(t, way, time.Minute)
		r := l.report(t, "netreach-"+way)
		wantPassed(t, r, nodes, requests)
		total := sent(r)
		if counted, kept := l.answered(t, done); counted != total.counted || kept != 0 || total.kept != 0 {
			t.Errorf("%s: %+v requests sent, %d and %d answered", way, total, counted, kept)
		}
		for _, agent := range r.Spec.Report {
			for _, d := range agent.NetReachTask.Detail {
				if reused := d.Metrics.Reused; way == "new" && reused != 0 || way == "keepalive" &&
					reused < requests/2 {
					t.Errorf("%s, node %s, %s: %d requests went over a connection that was open already", way,
						agent.NodeName, d.TargetName, reused)
				}
			}
		}
	}
}

func interfaces(t *testing.T, l life) {
	l.apply(t, "second", strings.Split(light, "\n")[0]+"\n  target: {ipv4: true, ipv6: true, endpoint: true, "+
		"multusInterface: true, clusterIP: false, nodePort: false}")
	l.finished(t, "second", time.Minute)
	r := l.report(t, "netreach-second")
	wantPassed(t, r, nodes, lightly)
	for _, agent := range r.Spec.Report {
		seen := map[string]int{}
		for _, d := range agent.NetReachTask.Detail {
			seen[d.Interface]++
			at, err := netip.ParseAddrPort(strings.TrimPrefix(d.TargetUrl, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if second := netip.MustParsePrefix("198.18.64.0/18").Contains(at.Addr()) ||
				netip.MustParsePrefix("fd98:64::/64").Contains(at.Addr()); second != (d.Interface == "net1") {
				t.Errorf("%s: interface %q", d.TargetUrl, d.Interface)
			}
		}
		if diff := cmp.Diff(map[string]int{"": 2 * nodes, "net1": 2 * nodes}, seen); diff != "" {
			t.Errorf("node %s: targets by interface (-want +got):\n%s", agent.NodeName, diff)
		}
	}
}

// brokenNodePort drops what other nodes' agents send to the node port of one node, as a firewall does.
func brokenNodePort(t *testing.T, l life) {
	const node, address = "n2", "198.18.0.12"
	port := strings.TrimSpace(kubectl(t, l.Cluster, "get", "service", "--namespace", cluster.Namespace,
		"kdoctor-agent-ipv4", "-o", "jsonpath={.spec.ports[0].nodePort}"))
	nft := func(args ...string) {
		if _, err := l.Exec(t.Context(), node, append([]string{"nft"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	nft("add table inet closed")
	defer nft("delete table inet closed")
	nft("add chain inet closed pre { type filter hook prerouting priority -300; }")
	nft("add rule inet closed pre ip daddr", address, "tcp dport", port, "drop")
	l.apply(t, "closed", "request: {durationInSecond: 2, qps: 4, perRequestTimeoutInMS: 500}\n  target: {"+
		onlyNodePorts+"}")
	done := l.finished(t, "closed", time.Minute)
	if got := done.Status.History[0].FailedAgentNodeList; !slices.Equal(got, nodeNames()) {
		t.Errorf("failing agents on %v, want on all nodes", got)
	}
	want := []string{fmt.Sprintf("AgentNodePortV4IP_%s_%s", address, port)}
	for _, agent := range l.report(t, "netreach-closed").Spec.Report {
		if got := failing(agent); !slices.Equal(got, want) {
			t.Errorf("node %s: failing targets %v, want %v", agent.NodeName, got, want)
		}
	}
}

// externalLocal asks for node ports and load balancers of Services whose traffic from outside stays on the node that it
// reached. It does so from the nodes' network: kube-proxy lets pods in on any node, as if the policy were another.
func externalLocal(t *testing.T, l life) {
	// By chance alone, an agent is left out of what it sends to its own node once in 600 million.
	const requests = 50
	l.making(func() {
		l.made(t, "local", "{hostNetwork: true, terminationGracePeriodMinutes: 0}", "request: "+
			"{durationInSecond: 5, qps: 10, perRequestTimeoutInMS: 2000}\n"+
			"  target: {ipv4: true, ipv6: true, loadBalancer: true, ingress: false, "+onlyNodePorts+"}", nil)
	})
	// What the manifests do not say of the Services is left to whoever says it.
	for _, service := range []string{"kdoctor-netreach-local-ipv4", "kdoctor-netreach-local-ipv6"} {
		kubectl(t, l.Cluster, "patch", "service", "--namespace", cluster.Namespace, service, "--type=merge", "-p",
			`{"spec":{"externalTrafficPolicy":"Local"}}`)
	}
	l.resume(t, "local")
	l.finished(t, "local", 3*time.Minute)
	r := l.report(t, "netreach-local")
	wantPassed(t, r, nodes, requests)
	for _, agent := range r.Spec.Report {
		own := slices.Index(nodeNames(), agent.NodeName)
		for _, d := range agent.NetReachTask.Detail {
			m := d.Metrics
			if !strings.HasPrefix(d.TargetName, "AgentNodePort") {
				if m.BackendsExpected != nodes {
					t.Errorf("node %s, %s: %d backends are expected, want those on all nodes", agent.NodeName,
						d.TargetName, m.BackendsExpected)
				}
				continue
			}
			// What comes from the node itself is led to agents on any node, and one on its own must be among them.
			elsewhere := !strings.Contains(d.TargetUrl, fmt.Sprintf("//198.18.0.1%d:", own)) &&
				!strings.Contains(d.TargetUrl, fmt.Sprintf("//[fd98:18::1%d]:", own))
			if m.BackendsExpected != 1 || m.BackendsAnswered != 1 || elsewhere && len(m.Backends) != 1 {
				t.Errorf("node %s, %s: %d of %d backends answered, want the one on the port's node: %v", agent.NodeName,
					d.TargetName, m.BackendsAnswered, m.BackendsExpected, m.Backends)
			}
		}
	}
}

// internalLocal asks for the cluster addresses of Services that lead each pod to the agent on its own node.
func internalLocal(t *testing.T, l life) {
	policy := func(name string) {
		for _, service := range []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"} {
			kubectl(t, l.Cluster, "patch", "service", "--namespace", cluster.Namespace, service, "--type=merge", "-p",
				`{"spec":{"internalTrafficPolicy":"`+name+`"}}`)
		}
	}
	policy("Local")
	defer policy("Cluster")
	l.settle(t)
	l.apply(t, "inside", "request: {durationInSecond: 2, qps: 10, perRequestTimeoutInMS: 2000}\n  target: {ipv4: "+
		"true, ipv6: true, endpoint: false, nodePort: false}")
	l.finished(t, "inside", time.Minute)
	r := l.report(t, "netreach-inside")
	wantPassed(t, r, nodes, 20)
	for _, agent := range r.Spec.Report {
		for _, d := range agent.NetReachTask.Detail {
			if m := d.Metrics; m.BackendsExpected != 1 || m.Backends[agent.PodName] != 20 {
				t.Errorf("node %s, %s: of %d backends %v answered, want the agent itself alone", agent.NodeName,
					d.TargetName, m.BackendsExpected, m.Backends)
			}
		}
	}
}

// sound looks at all programs after everything that ought to disturb none of them.
func sound(t *testing.T, l life) {
	var pods corev1.PodList
	if err := l.api.List(t.Context(), &pods, client.InNamespace(cluster.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) < nodes+1 {
		t.Errorf("there are %d pods, want %d agents and a controller", len(pods.Items), nodes)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			// Something was done to it.
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			if container.RestartCount != 0 {
				t.Errorf("%s has restarted %d times: %+v", pod.Name, container.RestartCount,
					container.LastTerminationState)
			}
		}
		text := kubectl(t, l.Cluster, "logs", "--namespace", cluster.Namespace, pod.Name)
		for _, bad := range []string{"panic", "fatal error", "DATA RACE"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s logs %q:\n%s", pod.Name, bad, text)
			}
		}
	}
}

// agentPods are the default agents' pods.
func (l life) agentPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := l.api.List(t.Context(), &pods, client.InNamespace(cluster.Namespace),
		client.MatchingLabels{"app.kubernetes.io/name": "kdoctor-agent"}); err != nil {
		t.Fatal(err)
	}
	return pods.Items
}
