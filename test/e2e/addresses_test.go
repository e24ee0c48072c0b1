package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/test/cluster"
)

// frozen stops those who give addresses to Services and Ingresses, until the returned function is called. What forwards
// goes on.
func (l life) frozen(t *testing.T) (thaw func()) {
	t.Helper()
	var stopped []int
	thaw = func() {
		for _, pid := range stopped {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Errorf("let process %d go on: %v", pid, err)
			}
		}
		stopped = nil
	}
	for _, d := range status(t, l.Cluster, lifeCluster).Daemons {
		if d.Name != "cloud" && d.Name != "ingress" {
			continue
		}
		if err := syscall.Kill(d.PID, syscall.SIGSTOP); err != nil {
			thaw()
			t.Fatalf("stop %s: %v", d.Name, err)
		}
		stopped = append(stopped, d.PID)
	}
	if len(stopped) != 2 {
		thaw()
		t.Fatalf("%d programs give addresses, want 2", len(stopped))
	}
	return thaw
}

// addressless waits for addresses that nobody gives.
func addressless(t *testing.T, l life) {
	defer l.frozen(t)()
	l.apply(t, "vain", "agentSpec: {terminationGracePeriodMinutes: 0}\n  "+strings.Split(light, "\n")[0]+
		"\n  target: {ipv4: true, ipv6: false, clusterIP: false, nodePort: false, loadBalancer: true, ingress: true}")
	const service, ingress = "kdoctor-netreach-vain-ipv4 has no load balancer address yet",
		"kdoctor-netreach-vain-ipv4 has no address yet"
	waiting := l.until(t, "vain", time.Minute, "the status tells what is waited for", func(n v1beta1.NetReach) bool {
		c := meta.FindStatusCondition(n.Status.Conditions, controller.AgentsReady)
		return c != nil && c.Reason == controller.AgentsStarting && strings.Contains(c.Message, service) &&
			strings.Contains(c.Message, ingress)
	})
	done := l.finished(t, "vain", 3*time.Minute)
	record := done.Status.History[0]
	if waited := record.StartTimeStamp.Sub(waiting.CreationTimestamp.Time); waited < time.Minute ||
		waited > 2*time.Minute {
		t.Errorf("the round was planned %v after the task was made, want after the minute in which all addresses are "+
			"waited for", waited)
	}
	c := meta.FindStatusCondition(done.Status.Conditions, controller.AgentsReady)
	if c == nil || c.Reason == controller.AgentsCreated {
		t.Errorf("the condition is %+v; want that not all was there", c)
	}
	r := l.report(t, "netreach-vain")
	reasons := strings.Join(r.Spec.FailedReasons, "; ")
	if record.Status != v1beta1.RecordFail || !strings.Contains(reasons, "kdoctor-netreach-vain-ipv4 has no IPv4 "+
		"load balancer address") ||
		!strings.Contains(reasons, "Ingress kdoctor/kdoctor-netreach-vain-ipv4 has no") {
		t.Errorf("the record is %+v, the reasons are %q; want a failure that names the Service and the Ingress "+
			"without an address", record, reasons)
	}
	for _, agent := range r.Spec.Report {
		if len(agent.NetReachTask.Detail) != nodes || len(failing(agent)) != 0 {
			t.Errorf("node %s: %d targets, failing %v; want the agents alone, and that they answer", agent.NodeName,
				len(agent.NetReachTask.Detail), failing(agent))
		}
	}
}

// hostNames lets the statuses of the agents' Services and Ingress tell names in place of addresses, as some clouds do.
func hostNames(t *testing.T, l life) {
	l.turn.Lock()
	defer l.turn.Unlock()
	defer l.settle(t)
	defer l.frozen(t)()
	four, six := l.service(t, "kdoctor-agent-ipv4"), l.service(t, "kdoctor-agent-ipv6")
	var ingress networkingv1.Ingress
	if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: "kdoctor-agent"},
		&ingress); err != nil {
		t.Fatal(err)
	}
	fourHas, sixHas, ingressHas := four.Status.LoadBalancer.Ingress, six.Status.LoadBalancer.Ingress,
		ingress.Status.LoadBalancer.Ingress
	l.resolvable(t, "balancer", fourHas[0].IP, sixHas[0].IP)
	l.resolvable(t, "entry", ingressHas[0].IP, ingressHas[1].IP)
	defer l.named(t, &four, fourHas, "balancer")()
	defer l.named(t, &six, sixHas, "balancer")()
	defer l.named(t, &ingress, ingressHas, "entry")()
	l.apply(t, "named", strings.Split(light, "\n")[0]+
		"\n  target: {ipv4: true, ipv6: true, endpoint: false, clusterIP: false, nodePort: false, loadBalancer: "+
		"true, ingress: true}")
	l.finished(t, "named", time.Minute)
	r := l.report(t, "netreach-named")
	wantPassed(t, r, nodes, lightly)
	for _, agent := range r.Spec.Report {
		if len(agent.NetReachTask.Detail) != 4 {
			t.Errorf("node %s has %d targets, want a load balancer and an Ingress in both families", agent.NodeName,
				len(agent.NetReachTask.Detail))
		}
		for _, d := range agent.NetReachTask.Detail {
			if phase := d.Metrics.PhasesInMs["resolve"]; !strings.Contains(d.TargetUrl, nameOf("balancer")) &&
				!strings.Contains(d.TargetUrl, nameOf("entry")) || phase.Mean <= 0 {
				t.Errorf("node %s, %s: URL %s, phases %+v; want a name, and the time that it took to resolve it",
					agent.NodeName, d.TargetName, d.TargetUrl, d.Metrics.PhasesInMs)
			}
		}
	}
}

func (l life) service(t *testing.T, name string) (found corev1.Service) {
	t.Helper()
	if err := l.api.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: name}, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// nameOf is the name under which the cluster's name server knows a Service.
func nameOf(service string) string { return service + "." + cluster.Namespace + ".svc.cluster.local" }

// named writes the name into the object's status in place of the addresses that it has. The returned function puts
// these back.
func (l life) named(t *testing.T, object client.Object, addresses any, name string) (restore func()) {
	t.Helper()
	return l.given(t, object, addresses, []map[string]string{{"hostname": nameOf(name)}})
}

// given writes entries into the object's status in place of those that it has. The returned function puts these back.
func (l life) given(t *testing.T, object client.Object, has, entries any) (restore func()) {
	t.Helper()
	write := func(entries any) error {
		status := map[string]any{"loadBalancer": map[string]any{"ingress": entries}}
		patch, err := json.Marshal(map[string]any{"status": status})
		if err != nil {
			return err
		}
		return l.api.Status().Patch(context.WithoutCancel(t.Context()), object,
			client.RawPatch(types.MergePatchType, patch))
	}
	if err := write(entries); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := write(has); err != nil {
			t.Errorf("put the addresses back: %v", err)
		}
	}
}

// resolvable has the cluster's name server know the addresses, one of each family, under a name, until the test is
// over: by a Service that has no pods and whose endpoints are written by hand.
func (l life) resolvable(t *testing.T, name, four, six string) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s, namespace: %[2]s}\n"+
		"spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack, ports: [{name: http, port: 80}]}\n", name,
		cluster.Namespace)
	for kind, address := range map[string]string{"IPv4": four, "IPv6": six} {
		manifest += fmt.Sprintf("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
			"metadata: {name: %[1]s-%[3]s, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}\n"+
			"addressType: %[4]s\nendpoints: [{addresses: [\"%[5]s\"]}]\nports: [{name: http, port: 80}]\n", name,
			cluster.Namespace, strings.ToLower(kind), kind, address)
	}
	if _, err := l.Apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := l.Kubectl(context.WithoutCancel(t.Context()), "delete", "--namespace", cluster.Namespace, "service/"+
			name, "endpointslice/"+name+"-ipv4", "endpointslice/"+name+"-ipv6")
		if err != nil {
			t.Errorf("remove the name %s: %v", name, err)
		}
	})
}

// headless has no cluster address in one family, beside the address of the other.
func headless(t *testing.T, l life) {
	before := l.service(t, "kdoctor-agent-ipv6")
	replace := func(change func(*corev1.Service)) {
		t.Helper()
		next := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: before.Namespace, Name: before.Name,
			Labels: before.Labels, Annotations: before.Annotations}}
		before.Spec.DeepCopyInto(&next.Spec)
		next.Spec.ClusterIP, next.Spec.ClusterIPs = "", nil
		change(next)
		// The controller makes the Service anew as soon as it misses it, which may be first.
		eventually(t, time.Minute, "the Service is replaced", func() error {
			err := l.api.Create(t.Context(), next.DeepCopy())
			if err == nil {
				return nil
			}
			return errors.Join(err, client.IgnoreNotFound(l.api.Delete(t.Context(), &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: before.Namespace, Name: before.Name}})))
		})
	}
	replace(func(s *corev1.Service) {
		s.Spec.ClusterIP, s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ClusterIPNone, corev1.ServiceTypeClusterIP, 0
		s.Spec.ExternalTrafficPolicy, s.Spec.AllocateLoadBalancerNodePorts = "", nil
	})
	defer func() {
		replace(func(*corev1.Service) {})
		kubectl(t, l.Cluster, "wait", "--namespace", cluster.Namespace, "--timeout=60s",
			"--for=jsonpath={.status.loadBalancer.ingress}", "service/"+before.Name)
		l.settle(t)
	}()
	l.apply(t, "headless", strings.Split(light, "\n")[0]+"\n  target: {ipv4: true, ipv6: true, endpoint: false, "+
		"nodePort: false}")
	done := l.finished(t, "headless", time.Minute)
	r := l.report(t, "netreach-headless")
	want := "Service kdoctor/kdoctor-agent-ipv6 is headless"
	if done.Status.History[0].Status != v1beta1.RecordFail ||
		!slices.ContainsFunc(r.Spec.FailedReasons, func(s string) bool { return strings.Contains(s, want) }) {
		t.Errorf("the record is %+v, the reasons are %q; want a failure because %s", done.Status.History[0],
			r.Spec.FailedReasons, want)
	}
	for _, agent := range r.Spec.Report {
		if len(agent.NetReachTask.Detail) != 1 ||
			!strings.HasPrefix(agent.NetReachTask.Detail[0].TargetName, "AgentClusterV4IP") ||
			len(failing(agent)) != 0 {
			t.Errorf("node %s: %+v; want the address of the other family alone, and that it answers", agent.NodeName,
				agent.NetReachTask.Detail)
		}
	}
}
