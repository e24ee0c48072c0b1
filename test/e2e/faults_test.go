package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/test/cluster"
)

// faults break one thing each on the way of requests. The verdict has to be the one that the fault deserves, and no
// other path's. They are in lanes, as in lifeCycle.
func faults() [][]scenario {
	return [][]scenario{
		{
			{"connections that are reset while idle, or when they are used again, fail the paths without a proxy, " +
				"and those alone", keptReset},
			{"a load balancer whose address the nodes answer themselves is not vouched for", shortCircuit},
		},
		{
			{"a Service that leads each node to itself, or all nodes to one pod, is found at the default load", misled},
			{"a pod that may not answer for a Service and does is found, and a Service whose spec asks for near " +
				"backends is not blamed", strayed},
		},
	}
}

// fault puts a table of the chains into the network of a host of the lab. The returned function takes it away, as the
// end of the test does.
func (l life) fault(t *testing.T, host, table, chains string) (heal func()) {
	t.Helper()
	nft := func(command string) {
		if _, err := l.Exec(context.WithoutCancel(t.Context()), host, "nft", command); err != nil {
			t.Fatalf("a fault on %s: %v", host, err)
		}
	}
	// Some words are nftables' own.
	table = "fault_" + table
	nft("table inet " + table + " {\n" + chains + "\n}")
	healed := false
	heal = func() {
		if !healed {
			healed = true
			nft("delete table inet " + table)
		}
	}
	t.Cleanup(heal)
	return heal
}

// at is where the Service answers inside the cluster, as nftables match it.
func at(s corev1.Service) string {
	family := "ip"
	if s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
		family = "ip6"
	}
	return fmt.Sprintf("%s daddr %s tcp dport %d", family, s.Spec.ClusterIP, s.Spec.Ports[0].Port)
}

// patchService changes a Service's spec until the test is over.
func (l life) patchService(t *testing.T, name, spec, back string) {
	t.Helper()
	patch := func(spec string) {
		_, err := l.Kubectl(context.WithoutCancel(t.Context()), "patch", "service", name, "--namespace",
			cluster.Namespace, "--type=merge", "-p", `{"spec":`+spec+`}`)
		if err != nil {
			t.Errorf("change the Service %s: %v", name, err)
		}
	}
	patch(spec)
	t.Cleanup(func() { patch(back) })
}

// verdictOf is what the report says of a target: pass, fail, or the result that is neither.
func verdictOf(d systemv1beta1.TargetDetail) string {
	switch {
	case d.Result != "":
		return d.Result
	case d.Succeed:
		return "pass"
	}
	return "fail"
}

// targets are the node's targets whose names begin with the prefix. There has to be one.
func targets(t *testing.T, r systemv1beta1.KdoctorReport, node, prefix string) (found []systemv1beta1.TargetDetail) {
	t.Helper()
	for _, d := range reportOn(t, r, node).NetReachTask.Detail {
		if strings.HasPrefix(d.TargetName, prefix) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s: node %s has no target %s", r.Name, node, prefix)
	}
	return found
}

// wantVerdict checks what the node says of its targets whose names begin with the prefix, and returns them.
func wantVerdict(
	t *testing.T, r systemv1beta1.KdoctorReport, node, prefix, want string,
) []systemv1beta1.TargetDetail {
	t.Helper()
	found := targets(t, r, node, prefix)
	for _, d := range found {
		if got := verdictOf(d); got != want {
			m := d.Metrics
			t.Errorf("%s, node %s, %s: %q (%s), want %q; %d of %d succeeded, errors %v, kept %+v, excuses %+v, %v",
				r.Name, node, d.TargetName, got, reason(d), want, m.SuccessCounts, m.RequestCounts, m.Errors,
				m.KeptConnection, m.Excuses, r.Spec.Churn)
		}
	}
	return found
}

// wantUnexcused checks that nothing of the target succeeded and that nothing explains it.
func wantUnexcused(t *testing.T, d systemv1beta1.TargetDetail) {
	t.Helper()
	if m := d.Metrics; m.SuccessCounts != 0 || m.VoidRequests != 0 {
		t.Errorf("%s: %d requests succeeded and %d are excused, want none: %+v",
			d.TargetName, m.SuccessCounts, m.VoidRequests, m.Excuses)
	}
}

// wantAnswers checks that the counted requests were all answered, whatever the verdict.
func wantAnswers(t *testing.T, node string, d systemv1beta1.TargetDetail, requests int64) {
	t.Helper()
	if m := d.Metrics; m.RequestCounts != requests || m.SuccessCounts != requests || len(m.Errors) != 0 {
		t.Errorf("node %s, %s: %d sent, %d succeeded, errors %v; want %d of each",
			node, d.TargetName, m.RequestCounts, m.SuccessCounts, m.Errors, requests)
	}
}

func wantRound(t *testing.T, of v1beta1.NetReach, want v1beta1.RecordStatus) {
	t.Helper()
	if len(of.Status.History) == 0 || of.Status.History[0].Status != want {
		t.Errorf("%s: the record is %+v; want %s", of.Name, of.Status.History, want)
	}
}

// findings are those with the reason; all that were made stand in the test's log.
func findings(t *testing.T, r systemv1beta1.KdoctorReport, reason string) (found []systemv1beta1.Finding) {
	t.Helper()
	for _, f := range r.Spec.Findings {
		t.Logf("%s: finding %+v", r.Name, f)
		if f.Reason == reason {
			found = append(found, f)
		}
	}
	return found
}

// ips are the addresses of a pod, IPv4 first.
func (l life) ips(t *testing.T, pod string) []string {
	t.Helper()
	found := strings.Fields(kubectl(t, l.Cluster, "get", "pod", "--namespace", cluster.Namespace, pod,
		"-o", "jsonpath={.status.podIPs[*].ip}"))
	if len(found) != 2 || !strings.Contains(found[1], ":") {
		t.Fatalf("the addresses of %s are %v", pod, found)
	}
	return found
}

// resets are chains that reset connections to the pod which stay open: over IPv4 by the acknowledgement of their
// second answer, when no request is under way, and over IPv6 by their second request. Counted requests have a
// connection each.
func resets(ips []string) string {
	chains := "chain forward { type filter hook forward priority -10;\n"
	for i, family := range []string{"ip", "ip6"} {
		answer := fmt.Sprintf("ct original %[1]s daddr %[2]s %[1]s saddr %[2]s tcp flags & psh == psh ", family, ips[i])
		chains += answer + "ct mark 1 ct mark set 2\n" + answer + "ct mark 0 ct mark set 1\n"
	}
	return chains +
		"ct mark 2 ip daddr " + ips[0] + " tcp flags & (syn|fin|rst|psh) == 0 counter reject with tcp reset\n" +
		"ct mark 1 ip6 daddr " + ips[1] + " tcp flags & psh == psh counter reject with tcp reset\n}"
}

// keptReset resets connections to one agent on the askers' nodes. Those to Services go on.
func keptReset(t *testing.T, l life) {
	const node, requests = "n1", 80
	pod, _ := agentOn(t, l.Cluster, node)
	askers := []string{"n0", "n2"}
	for _, asker := range askers {
		l.fault(t, asker, "reset", resets(l.ips(t, pod)))
	}
	l.apply(t, "reset", "request: {durationInSecond: 8, qps: 10, perRequestTimeoutInMS: 1000}\n"+
		"  target: {ipv4: true, ipv6: true, nodePort: false}")
	wantRound(t, l.finished(t, "reset", time.Minute), v1beta1.RecordFail)
	r := l.report(t, "netreach-reset")
	for _, asker := range askers {
		for prefix, want := range map[string]string{
			"AgentPodV4IP_" + pod: "fail", "AgentPodV6IP_" + pod: "fail",
			"AgentClusterV4IP": "pass", "AgentClusterV6IP": "pass",
		} {
			for _, d := range wantVerdict(t, r, asker, prefix, want) {
				wantAnswers(t, asker, d, requests)
			}
		}
		for _, d := range targets(t, r, asker, "AgentPodV4IP_"+pod) {
			if k := d.Metrics.KeptConnection; k.ResetWhileIdle == 0 || k.SuccessCounts != k.RequestCounts {
				t.Errorf("node %s, %s: %+v; want that no request fails, and that connections are reset between two",
					asker, d.TargetName, k)
			}
		}
		if t.Failed() {
			out, err := l.Exec(t.Context(), asker, "nft", "list table inet fault_reset")
			t.Logf("%s (%v)", out, err)
		}
	}
	for _, d := range reportOn(t, r, node).NetReachTask.Detail {
		if !d.Succeed {
			t.Errorf("node %s, %s: %s; want a success of what goes to no other node", node, d.TargetName, reason(d))
		}
	}
}

// lead has the node lead what pods ask of the Service to one pod, whatever kube-proxy would do. A pod that is led to
// itself has to see another sender.
func (l life) lead(t *testing.T, node string, s corev1.Service, ip string) (heal func()) {
	t.Helper()
	family, to := "ip", ip+":8080"
	if strings.Contains(ip, ":") {
		family, to = "ip6", "["+ip+"]:8080"
	}
	chains := fmt.Sprintf(`chain pre { type nat hook prerouting priority -110; %[1]s dnat %[2]s to %[3]s; }
		chain post { type nat hook postrouting priority 90; %[2]s saddr %[4]s %[2]s daddr %[4]s masquerade; }`,
		at(s), family, to, ip)
	return l.fault(t, node, "led", chains)
}

// defaultLoad is what a task gets that says nothing of its load.
const defaultLoad = "request: {}\n  target: {ipv4: true, ipv6: true, endpoint: false, nodePort: false}"

// misled leads each node to its own agent over IPv4, and then all nodes to one agent over IPv6. Nothing in the
// Services asks for either, and the other family's Service is whole.
func misled(t *testing.T, l life) {
	for _, test := range []struct {
		name, service, prefix, finding string
		family                         int
		to                             func(node string) string
	}{
		{"itself", "kdoctor-agent-ipv4", "AgentClusterV4IP", "LocalOnly", 0, func(node string) string { return node }},
		{"one", "kdoctor-agent-ipv6", "AgentClusterV6IP", "OneBackendOnly", 1, func(string) string { return "n1" }},
	} {
		var heal []func()
		answering := map[string]string{}
		for _, node := range nodeNames() {
			answering[node], _ = agentOn(t, l.Cluster, test.to(node))
			heal = append(heal, l.lead(t, node, l.service(t, test.service), l.ips(t, answering[node])[test.family]))
		}
		l.apply(t, test.name, defaultLoad)
		l.finished(t, test.name, time.Minute)
		for _, do := range heal {
			do()
		}
		r := l.report(t, "netreach-"+test.name)
		for _, node := range nodeNames() {
			for _, d := range wantVerdict(t, r, node, test.prefix, "pass") {
				if m := d.Metrics; m.Backends[answering[node]] != m.RequestCounts {
					t.Errorf("node %s, %s: answered by %v; want %s alone",
						node, d.TargetName, m.Backends, answering[node])
				}
			}
		}
		if found := findings(t, r, test.finding); len(found) != 1 {
			t.Errorf("%s: there are %d findings %s, want one", test.name, len(found), test.finding)
		}
	}
}

// strayed leads a node to another node's agent although the Service is to lead each node to its own, over IPv4. The
// Service of IPv6 asks for backends in the zone of the client, and each node has a zone of its own.
func strayed(t *testing.T, l life) {
	const node, other = "n0", "n2"
	// Others change the same Services, and close ways to them.
	l.turn.Lock()
	defer l.turn.Unlock()
	l.patchService(t, "kdoctor-agent-ipv4", `{"internalTrafficPolicy":"Local"}`, `{"internalTrafficPolicy":"Cluster"}`)
	l.patchService(t, "kdoctor-agent-ipv6", `{"trafficDistribution":"PreferClose"}`, `{"trafficDistribution":null}`)
	stray, _ := agentOn(t, l.Cluster, other)
	defer l.lead(t, node, l.service(t, "kdoctor-agent-ipv4"), l.ips(t, stray)[0])()
	l.settle(t)
	l.near(t, l.service(t, "kdoctor-agent-ipv6"))
	l.apply(t, "strayed", defaultLoad)
	l.finished(t, "strayed", time.Minute)
	r := l.report(t, "netreach-strayed")
	for _, asker := range nodeNames() {
		own, _ := agentOn(t, l.Cluster, asker)
		for _, d := range wantVerdict(t, r, asker, "AgentClusterV6IP", "pass") {
			if m := d.Metrics; m.Backends[own] != m.SuccessCounts {
				t.Errorf("node %s, %s: answered by %v; want the agent itself alone", asker, d.TargetName, m.Backends)
			}
		}
	}
	found := findings(t, r, "UnexpectedBackend")
	if len(found) != 1 || !strings.Contains(found[0].Where, stray) {
		t.Errorf("the findings UnexpectedBackend are %+v; want one, about %s", found, stray)
	}
	if len(r.Spec.Findings) != len(found) {
		t.Errorf("the findings are %+v; want none about what the spec of a Service asks for", r.Spec.Findings)
	}
}

// near waits until each node's requests to the Service are answered by its own agent. Kubernetes writes into the
// EndpointSlices what a Service's spec asks for, and each node's kube-proxy follows, in their own time.
func (l life) near(t *testing.T, s corev1.Service) {
	t.Helper()
	url := "http://" + net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(s.Spec.Ports[0].Port))) + "/"
	eventually(t, 30*time.Second, "each node is answered by its own agent", func() error {
		for _, node := range nodeNames() {
			own, _ := agentOn(t, l.Cluster, node)
			for range 6 {
				got, err := l.answerer(t.Context(), node, url)
				if err != nil {
					return fmt.Errorf("from node %s: %w", node, err)
				}
				if got != own {
					return fmt.Errorf("node %s is answered by %s", node, got)
				}
			}
		}
		return nil
	})
}

// answerer is the pod that answers one request, over a connection of its own, from the node.
func (l life) answerer(ctx context.Context, node, url string) (pod string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.Dial(ctx, node, network, address)
	}
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := asker.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer echo.Answer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s gives no answer of an agent: %w", url, err)
	}
	return answer.Kdoctor.Pod, nil
}

// shortCircuit closes the load balancers' way, and then has the nodes answer for their addresses, as most clouds' do.
func shortCircuit(t *testing.T, l life) {
	l.turn.Lock()
	defer l.turn.Unlock()
	defer l.frozen(t)()
	defer l.fault(t, "lb", "closed", "chain input { type filter hook input priority 0; tcp dport 80 drop; }")()
	const load = "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 500}\n" +
		"  target: {ipv4: true, ipv6: true, endpoint: false, clusterIP: false, nodePort: false, loadBalancer: true}"
	l.apply(t, "balanced", load)
	wantRound(t, l.finished(t, "balanced", time.Minute), v1beta1.RecordFail)
	var restore []func()
	defer func() {
		for _, do := range restore {
			do()
		}
	}()
	for _, name := range []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"} {
		s := l.service(t, name)
		has := s.Status.LoadBalancer.Ingress
		entry := map[string]string{"ip": has[0].IP, "ipMode": string(corev1.LoadBalancerIPModeVIP)}
		restore = append(restore, l.given(t, &s, has, []map[string]string{entry}))
		eventually(t, 20*time.Second, "nodes answer for the address", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			connection, err := l.Dial(ctx, "n0", "tcp", net.JoinHostPort(has[0].IP, "80"))
			if err == nil {
				err = connection.Close()
			}
			return err
		})
	}
	l.apply(t, "short", load)
	wantRound(t, l.finished(t, "short", time.Minute), v1beta1.RecordSucceed)
	r := l.report(t, "netreach-short")
	for _, node := range nodeNames() {
		for _, prefix := range []string{"AgentLoadbalancerV4IP", "AgentLoadbalancerV6IP"} {
			for _, d := range wantVerdict(t, r, node, prefix, "pass") {
				if d.AnsweredBy != "node" {
					t.Errorf("node %s, %s: answered by %q, want the node", node, d.TargetName, d.AnsweredBy)
				}
			}
		}
	}
	wantNote(t, l, r, "ShortCircuit", "load balancer")
}

// wantNote checks that the report of a success notes what the round does not prove, as data and for a reader, with
// these words in it.
func wantNote(t *testing.T, l life, r systemv1beta1.KdoctorReport, code string, words ...string) {
	t.Helper()
	text, err := l.Program(t.Context(), "kubectl-kdoctor", "report", strings.TrimPrefix(r.Name, "netreach-"))
	if err != nil {
		t.Errorf("the report of a success ends with %v", err)
	}
	// Lines are broken where the terminal ends.
	shown := strings.Join(strings.Fields(text), " ")
	for _, note := range r.Spec.Notes {
		lacks := slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(note.Message, word) })
		if note.Code == code && !lacks && strings.Contains(shown, note.Message) {
			return
		}
	}
	t.Errorf("the notes are %+v; want %s about %v, and that it is shown:\n%s", r.Spec.Notes, code, words, text)
}
