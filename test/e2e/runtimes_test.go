package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/test/cluster"
)

// every is a load over every way, with the expectations of a slow cluster. What comes before is the schedule or the
// agents.
const every = `request: {durationInSecond: 3, qps: 10, perRequestTimeoutInMS: 15000}
  expect: {successRate: 1, meanAccessDelayInMs: 7000}
  target: {ipv4: true, ipv6: true, enableLatencyMetric: true, endpoint: true, multusInterface: false, clusterIP: true, nodePort: true, loadBalancer: true, ingress: true}`

// everyTime is how many requests every sends to each target.
const everyTime = 30

// ways is how many targets every has: pods, and of each family a ClusterIP, a NodePort for each node, a load balancer
// and an Ingress.
func ways(agents int) int64 { return int64(2 * (agents + 1 + nodes + 1 + 1)) }

// wantEveryWay checks runtime, status and report of a task with the load every that has finished its only round.
func wantEveryWay(t *testing.T, l life, of v1beta1.NetReach, agents int) {
	t.Helper()
	if of.Status.LastRoundStatus == nil || *of.Status.LastRoundStatus != v1beta1.Succeed || *of.Status.DoneRound != 1 {
		t.Errorf("%s: status %+v; want one round that succeeded", of.Name, of.Status)
	}
	r := l.report(t, "netreach-"+of.Name)
	wantPassed(t, r, agents, everyTime)
	if r.Spec.RoundNumber != 1 || r.Spec.ReportRoundNumber != 1 || r.Spec.FinishedRoundNumber != 1 ||
		r.Spec.Status != "Finished" {
		t.Errorf("%s: the report is about round %d, %d of %d are over, %s", r.Name, r.Spec.ReportRoundNumber,
			r.Spec.FinishedRoundNumber, r.Spec.RoundNumber, r.Spec.Status)
	}
	for _, agent := range r.Spec.Report {
		if agent.NetReachTask.TargetNumber != ways(agents) {
			t.Errorf("%s, node %s: %d targets, want %d", r.Name, agent.NodeName, agent.NetReachTask.TargetNumber,
				ways(agents))
		}
		var echoed v1beta1.NetReachSpec
		if err := json.Unmarshal(agent.NetReachTaskSpec.Raw, &echoed); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(of.Spec.Target, echoed.Target); diff != "" {
			t.Errorf("%s: the spec's targets in the report (-want +got):\n%s", r.Name, diff)
		}
	}
	wantCountsToAgree(t, l, of, r)
}

func everyWay(t *testing.T, l life) {
	l.apply(t, "every", "suspend: true\n  "+every)
	done := l.alone(t, "every")
	want := &v1beta1.TaskResource{RuntimeName: "kdoctor-agent", RuntimeType: topology.DaemonSet,
		RuntimeStatus: "created"}
	four, six := "kdoctor-agent-ipv4", "kdoctor-agent-ipv6"
	want.ServiceNameV4, want.ServiceNameV6 = &four, &six
	if diff := cmp.Diff(want, done.Status.Resource); diff != "" {
		t.Errorf("the runtime (-want +got):\n%s", diff)
	}
	wantEveryWay(t, l, done, nodes)
	defer l.beforeAMinute()()
	l.apply(t, "cron", "schedule: {schedule: \"* * * * *\"}\n  "+every)
	done = l.finished(t, "cron", 2*time.Minute)
	if start := done.Status.History[0].StartTimeStamp; start.Second() != 0 {
		t.Errorf("the round was planned for %v, want a whole minute", start)
	}
	wantEveryWay(t, l, done, nodes)
}

// beforeAMinute returns seconds before a minute begins, when no load over every way runs and nobody makes agents; that
// stays so until the returned function is called.
func (l life) beforeAMinute() (end func()) {
	const most, least = 10 * time.Second, 3 * time.Second
	for {
		<-time.After(time.Until(time.Now().Add(most).Truncate(time.Minute).Add(time.Minute - most)))
		l.turn.Lock()
		if left := time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)); least < left && left < most {
			return l.turn.Unlock
		}
		l.turn.Unlock()
	}
}

// made makes a task that has agents of its own, and returns it with them and what stands in front of them when they are
// there. Its rounds wait until the task is resumed.
func (l life) made(t *testing.T, name, agents, load string, annotations map[string]string) (found v1beta1.NetReach,
	objects []client.Object) {
	t.Helper()
	l.apply(t, name, "suspend: true\n  agentSpec: "+agents+"\n  "+load)
	return l.created(t, name, annotations)
}

// created waits until the task's own agents are there and returns their workload and what stands in front of it.
func (l life) created(t *testing.T, name string, annotations map[string]string) (v1beta1.NetReach, []client.Object) {
	t.Helper()
	found := l.until(t, name, 150*time.Second, "the task's own agents are there", func(n v1beta1.NetReach) bool {
		return n.Status.Resource != nil && n.Status.Resource.RuntimeStatus == "created"
	})
	runtime := found.Status.Resource
	if want := "kdoctor-netreach-" + name; runtime.RuntimeName != want || *runtime.ServiceNameV4 != want+"-ipv4" ||
		*runtime.ServiceNameV6 != want+"-ipv6" {
		t.Errorf("the runtime is %+v; want %s and its Services", runtime, want)
	}
	workload, template := l.workload(t, *runtime)
	if runtime.RuntimeType != found.Spec.AgentSpec.Kind {
		t.Errorf("the runtime is a %s, want a %s", runtime.RuntimeType, found.Spec.AgentSpec.Kind)
	}
	// Those of the installation are there as well.
	for key, value := range annotations {
		if template.Annotations[key] != value {
			t.Errorf("the pods have annotations %v; want %s: %s", template.Annotations, key, value)
		}
	}
	if template.Spec.HostNetwork != found.Spec.AgentSpec.HostNetwork {
		t.Errorf("hostNetwork is %v", template.Spec.HostNetwork)
	}
	objects := []client.Object{workload}
	for _, service := range []string{*runtime.ServiceNameV4, *runtime.ServiceNameV6} {
		s := &corev1.Service{}
		s.Namespace, s.Name = cluster.Namespace, service
		objects = append(objects, s)
	}
	if *found.Spec.Target.Ingress {
		in := &networkingv1.Ingress{}
		in.Namespace, in.Name = cluster.Namespace, *runtime.ServiceNameV4
		objects = append(objects, in)
	}
	for _, o := range objects {
		if err := l.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
	return found, objects
}

// workload reads the workload that a task's status names. A Deployment has to have all its replicas.
func (l life) workload(t *testing.T, of v1beta1.TaskResource) (client.Object, corev1.PodTemplateSpec) {
	t.Helper()
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: of.RuntimeName}
	if of.RuntimeType == topology.DaemonSet {
		var found appsv1.DaemonSet
		if err := l.api.Get(t.Context(), key, &found); err != nil {
			t.Fatal(err)
		}
		return &found, found.Spec.Template
	}
	var found appsv1.Deployment
	if err := l.api.Get(t.Context(), key, &found); err != nil {
		t.Fatal(err)
	}
	if found.Status.Replicas != *found.Spec.Replicas {
		t.Errorf("%s has %d replicas, want %d", key.Name, found.Status.Replicas, *found.Spec.Replicas)
	}
	return &found, found.Spec.Template
}

func ownDaemonSet(t *testing.T, l life) {
	wantOwn(t, l, "own", "{terminationGracePeriodMinutes: 1}", nodes)
}

func ownDeployment(t *testing.T, l life) {
	wantOwn(t, l, "replicas", "{kind: Deployment, deploymentReplicas: 2, terminationGracePeriodMinutes: 1}", 2)
}

func wantOwn(t *testing.T, l life, name, agents string, count int) {
	t.Helper()
	var objects []client.Object
	l.making(func() { _, objects = l.made(t, name, agents, every, nil) })
	done := l.alone(t, name)
	wantEveryWay(t, l, done, count)
	l.gone(t, time.Until(done.Status.FinishTime.Add(2*time.Minute)), objects...)
	if early := time.Until(done.Status.FinishTime.Add(time.Minute)); early > 0 {
		t.Errorf("the agents went %v before their minute was over", early)
	}
	l.until(t, name, 10*time.Second, "the status tells of it",
		func(n v1beta1.NetReach) bool { return n.Status.Resource.RuntimeStatus == "deleted" })
	// The report stays when the agents go.
	l.report(t, "netreach-"+name)
}

func goWithTask(t *testing.T, l life) {
	l.making(func() {
		l.apply(t, "leaving", "suspend: true\n  agentSpec: {terminationGracePeriodMinutes: 5}\n  "+every)
		l.apply(t, "leaving2", "suspend: true\n  agentSpec: {kind: Deployment, deploymentReplicas: 2, "+
			"terminationGracePeriodMinutes: 5}\n  "+every)
		for _, name := range []string{"leaving", "leaving2"} {
			_, objects := l.created(t, name, nil)
			kubectl(t, l.Cluster, "delete", "netreach", name)
			l.gone(t, time.Minute, objects...)
		}
	})
}

const saidAgents = `
    kind: Deployment
    deploymentReplicas: 2
    terminationGracePeriodMinutes: 0
    annotation: {example.com/who: "me", example.com/why: "to see"}
    env: [{name: GOGC, value: "50"}, {name: EXTRA, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
    resources: {requests: {cpu: 20m, memory: 40Mi}, limits: {memory: 200Mi}}
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n0, n2]}]}]`

// allSaid asks for agents on two of three nodes, so that the affinity is seen in where they are.
func allSaid(t *testing.T, l life) {
	annotations := map[string]string{"example.com/who": "me", "example.com/why": "to see"}
	var found v1beta1.NetReach
	var objects []client.Object
	l.making(func() { found, objects = l.made(t, "said", saidAgents, light, annotations) })
	asked := found.Spec.AgentSpec
	deployment, isDeployment := objects[0].(*appsv1.Deployment)
	service, isService := objects[1].(*corev1.Service)
	if !isDeployment || !isService {
		t.Fatalf("the agents are %T and %T", objects[0], objects[1])
	}
	pod := deployment.Spec.Template.Spec
	if !equality.Semantic.DeepEqual(pod.Affinity, asked.Affinity) ||
		!equality.Semantic.DeepEqual(pod.Containers[0].Resources, *asked.Resources) {
		t.Errorf("affinity and resources: %+v, %+v", pod.Affinity, pod.Containers[0].Resources)
	}
	for _, env := range asked.Env {
		if !slices.ContainsFunc(pod.Containers[0].Env, func(e corev1.EnvVar) bool {
			return e.Name == env.Name && e.Value == env.Value && (e.ValueFrom == nil) == (env.ValueFrom == nil)
		}) {
			t.Errorf("the variable %s is not there: %+v", env.Name, pod.Containers[0].Env)
		}
	}
	for key, value := range annotations {
		if deployment.Annotations[key] != value || service.Annotations[key] != value {
			t.Errorf("the annotation %s is not on workload and Service", key)
		}
	}
	l.resume(t, "said")
	done := l.finished(t, "said", 90*time.Second)
	if got := done.Status.History[0].SucceedAgentNodeList; !slices.Equal(got, []string{"n0", "n2"}) {
		t.Errorf("nodes that succeeded: %v, want n0 and n2", got)
	}
	wantPassed(t, l.report(t, "netreach-said"), 2, lightly)
	l.gone(t, time.Until(done.Status.FinishTime.Add(30*time.Second)), objects...)
}

func hostNetwork(t *testing.T, l life) {
	l.making(func() { l.made(t, "host", "{hostNetwork: true, terminationGracePeriodMinutes: 1}", every, nil) })
	done := l.alone(t, "host")
	wantEveryWay(t, l, done, nodes)
	for _, agent := range l.report(t, "netreach-host").Spec.Report {
		if !slices.ContainsFunc(agent.NetReachTask.Detail, func(d systemv1beta1.TargetDetail) bool {
			return strings.HasPrefix(d.TargetName, "AgentPodV4IP_") &&
				strings.HasPrefix(d.TargetUrl, "http://198.18.0.10:")
		}) {
			t.Errorf("%s has no target with an address of node n0", agent.PodName)
		}
	}
}

func names(t *testing.T, l life) {
	long := "a-name-that-is-" + strings.Repeat("very-", 9) + "long"
	tasks := []string{"with.dots", long}
	l.making(func() {
		for _, name := range tasks {
			l.apply(t, name, fmt.Sprintf("suspend: true\n  agentSpec: {kind: Deployment, "+
				"terminationGracePeriodMinutes: 0}\n  %s", light))
		}
		for _, name := range tasks {
			made := l.until(t, name, 2*time.Minute, "the agents are there", func(n v1beta1.NetReach) bool {
				return n.Status.Resource != nil && n.Status.Resource.RuntimeStatus == "created"
			})
			if runtime := made.Status.Resource.RuntimeName; strings.Contains(runtime, ".") || len(runtime) > 58 ||
				!strings.HasPrefix(runtime, "kdoctor-netreach-") {
				t.Errorf("the workload of %s is named %s", name, runtime)
			}
		}
	})
	for _, name := range tasks {
		l.resume(t, name)
	}
	for _, name := range tasks {
		l.finished(t, name, time.Minute)
		wantPassed(t, l.report(t, "netreach-"+name), 1, lightly)
	}
}
