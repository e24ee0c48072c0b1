package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/test/cluster"
)

func troubles() []scenario {
	return []scenario{
		{"a cordoned node takes part", cordoned},
		{"a new node keeps no round from running, and is told of as long as it has no agent", newNode},
		{"a pod that is deleted amid a round fails nothing and is told of", deletedPod},
	}
}

// inVain are lanes that wait more than a minute for what does not come, or comes late.
func inVain() [][]scenario {
	return [][]scenario{
		{{"load balancer and Ingress addresses that never come are waited for, and then are gaps with that reason",
			addressless}},
		{{"certificates that are made anew while rounds run cost no round", rotation}},
	}
}

func longTroubles() []scenario {
	return []scenario{
		{"a deleted agent excuses what fails on the node port that leads to it alone, and on no other",
			deletedBehindNodePort},
		{"a node that is NotReady keeps no round from running, and is told of", notReady},
		{"a controller that is killed again and again loses no finished round", killedAgain},
		{"a start that passed while the controller was down is told of as missed, and the next one is kept", missed},
		{"a task above the limits runs with less and says so, or is refused, as the value chooses", limits},
		{"a full disk stops no round, and reports are written once there is space", fullDisk},
	}
}

func (l life) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := l.Settle(ctx, nodes); err != nil {
		t.Fatal(err)
	}
}

func cordoned(t *testing.T, l life) {
	kubectl(t, l.Cluster, "cordon", "n1")
	defer kubectl(t, l.Cluster, "uncordon", "n1")
	l.apply(t, "cordoned", light)
	l.apply(t, "cordoned-own", "agentSpec: {terminationGracePeriodMinutes: 0}\n  "+light)
	for _, name := range []string{"cordoned", "cordoned-own"} {
		l.finished(t, name, 2*time.Minute)
		wantPassed(t, l.report(t, "netreach-"+name), nodes, lightly)
	}
}

// newNode makes the Node of a machine on which nothing runs yet, while a round is under way and before another begins.
// All agents tolerate everything, so that the DaemonSet wants one there at once.
func newNode(t *testing.T, l life) {
	const joined = "n9"
	settle := func(wanted int) {
		t.Helper()
		eventually(t, 30*time.Second, "there are as many agents as nodes", func() error {
			if pods := l.agentPods(t); len(pods) != wanted {
				return fmt.Errorf("%d agents on %d nodes", len(pods), wanted)
			}
			return nil
		})
	}
	l.apply(t, "joined-1", strings.Replace(light, "durationInSecond: 1", "durationInSecond: 6", 1))
	l.begun(t, l.ongoing(t, "joined-1", time.Minute))
	node := &corev1.Node{}
	node.Name, node.Labels = joined, map[string]string{corev1.LabelHostname: joined,
		corev1.LabelOSStable: string(corev1.Linux)}
	if err := l.api.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	defer func() {
		kubectl(t, l.Cluster, "delete", "node", joined)
		for _, pod := range l.agentPods(t) {
			if !podReady(pod) {
				kubectl(t, l.Cluster, "delete", "pod", "--namespace", cluster.Namespace, pod.Name, "--force",
					"--grace-period=0", "--ignore-not-found")
			}
		}
		settle(nodes)
		l.settle(t)
	}()
	settle(nodes + 1)
	l.finished(t, "joined-1", time.Minute)
	wantPassed(t, l.report(t, "netreach-joined-1"), nodes, 6*lightly)

	l.apply(t, "joined-2", strings.Split(light, "\n")[0]+
		"\n  target: {endpoint: true, clusterIP: true, nodePort: true}")
	record := l.finished(t, "joined-2", 30*time.Second).Status.History[0]
	if took := record.EndTimeStamp.Sub(record.StartTimeStamp.Time); record.Status != v1beta1.RecordFail ||
		took > 15*time.Second ||
		!slices.Equal(record.NotReportAgentNodeList, []string{joined}) ||
		!slices.Equal(record.SucceedAgentNodeList, nodeNames()) {
		t.Errorf("the record is %+v, after %v; want success of all others, and the failure of the round for want of "+
			"a report from %s", record, took, joined)
	}
	if r := l.report(t, "netreach-joined-2"); len(r.Spec.NotReported) != 1 ||
		r.Spec.NotReported[0].NodeName != joined || !strings.Contains(r.Spec.NotReported[0].Reason, "Pending") {
		t.Errorf("without a report: %+v; want the agent on %s, and that its pod is Pending", r.Spec.NotReported, joined)
	}
}

// notReady stops the kubelet of a node. Kubernetes notices after some 50 seconds, and the agent on the node goes on
// unseen.
func notReady(t *testing.T, l life) {
	node := workerWithoutController(t, l.Cluster)
	resume := stopped(t, l.Cluster, lifeCluster, node)
	ready := func(want bool) {
		eventually(t, 2*time.Minute, "node and agents are as they should be", func() error {
			var found corev1.Node
			if err := l.api.Get(t.Context(), client.ObjectKey{Name: node}, &found); err != nil {
				return err
			}
			isReady := slices.ContainsFunc(found.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			})
			if isReady != want {
				return fmt.Errorf("%s is ready: %v", node, isReady)
			}
			for _, pod := range l.agentPods(t) {
				if pod.Spec.NodeName == node && podReady(pod) != want {
					return fmt.Errorf("%s is ready: %v", pod.Name, !want)
				}
			}
			return nil
		})
	}
	defer func() {
		resume()
		ready(true)
		l.settle(t)
	}()
	ready(false)
	l.apply(t, "unready", "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 2000}\n  target: {endpoint: "+
		"true, clusterIP: true, nodePort: true}")
	done := l.finished(t, "unready", 30*time.Second)
	record := done.Status.History[0]
	if record.Status != v1beta1.RecordFail || !slices.Equal(record.NotReportAgentNodeList, []string{node}) ||
		len(record.SucceedAgentNodeList) != nodes-1 || record.FailureReason == "" {
		t.Errorf("the record is %+v; want success of all others, and the failure of the round for want of a report from %s", record, node)
	}
	if r := l.report(t, "netreach-unready"); len(r.Spec.NotReported) != 1 || r.Spec.NotReported[0].NodeName != node ||
		r.Spec.NotReported[0].Reason == "" || r.Spec.NotReported[0].Void {
		t.Errorf("without a report: %+v; want the agent on %s, with a reason", r.Spec.NotReported, node)
	}
}

func podReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions,
		func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

func deletedPod(t *testing.T, l life) {
	pod, _ := agentOn(t, l.Cluster, "n1")
	l.apply(t, "churn", "request: {durationInSecond: 8, qps: 5, perRequestTimeoutInMS: 500}\n  target: {ipv4: true, "+
		"ipv6: true, loadBalancer: true}")
	l.ongoing(t, "churn", time.Minute)
	// Some requests are answered before that.
	<-time.After(3 * time.Second)
	kubectl(t, l.Cluster, "delete", "pod", "--namespace", cluster.Namespace, pod, "--wait=false")
	done := l.finished(t, "churn", 90*time.Second)
	if done.Status.LastRoundStatus == nil || *done.Status.LastRoundStatus != v1beta1.Succeed {
		t.Errorf("the round did not succeed: %+v", done.Status.History)
	}
	r := l.report(t, "netreach-churn")
	if !slices.ContainsFunc(r.Spec.Churn, func(s string) bool { return strings.Contains(s, pod) }) {
		t.Errorf("the deletion of %s is not told of: %v", pod, r.Spec.Churn)
	}
	wantHandedOver(t, r, pod)
	var void int64
	for _, agent := range r.Spec.Report {
		for _, d := range agent.NetReachTask.Detail {
			void += d.Metrics.VoidRequests
			if !d.Succeed && d.Result == "" {
				t.Errorf("node %s, %s fails: %s; %v", agent.NodeName, d.TargetName, reason(d), d.Metrics.Errors)
			}
		}
	}
	if void == 0 {
		t.Error("no request is void, though a pod was gone for seconds")
	}
	kubectl(t, l.Cluster, "rollout", "status", "--namespace", cluster.Namespace, "daemonset/kdoctor-agent",
		"--timeout=60s")
	l.settle(t)
}

// controllerProcess is the process of the only controller, 0 while there is none.
func (l life) controllerProcess(t *testing.T) int {
	t.Helper()
	var pods corev1.PodList
	if err := l.api.List(t.Context(), &pods, client.InNamespace(cluster.Namespace),
		client.MatchingLabels{"app.kubernetes.io/component": "kdoctor-controller"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		environment, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, pod := range pods.Items {
			if !slices.Contains(strings.Split(string(environment), "\x00"), "HOSTNAME="+pod.Name) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}

// killedAgain kills the controller's process, whose folder of reports stays: when the first of several tasks has
// finished, and once it is back.
func killedAgain(t *testing.T, l life) {
	tasks := []string{"killed-1", "killed-2", "killed-4", "killed-7"}
	for _, name := range tasks {
		_, seconds, _ := strings.Cut(name, "-")
		l.apply(t, name, strings.Replace(light, "durationInSecond: 1", "durationInSecond: "+seconds, 1))
	}
	l.finished(t, "killed-1", time.Minute)
	first, err := json.Marshal(l.report(t, "netreach-killed-1:1.1").Spec)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pid := l.controllerProcess(t)
		if pid == 0 {
			t.Fatal("there is no process of the controller")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		l.apiBack(t, pid)
	}
	for _, name := range tasks {
		done := l.finished(t, name, 90*time.Second)
		if len(done.Status.History) != 1 || done.Status.History[0].Status != v1beta1.RecordSucceed ||
			*done.Status.DoneRound != 1 {
			t.Errorf("%s: status %+v; want one round that succeeded", name, done.Status)
		}
		seconds := name[len(name)-1] - '0'
		wantPassed(t, l.report(t, "netreach-"+name+":1.1"), nodes, lightly*int64(seconds))
	}
	again, err := json.Marshal(l.report(t, "netreach-killed-1:1.1").Spec)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the report of the round that was over before has changed (%v)", err)
	}
}

// apiBack waits until a controller that is another process than before serves reports, and returns its process.
func (l life) apiBack(t *testing.T, before int) (pid int) {
	t.Helper()
	eventually(t, 90*time.Second, "the controller is back", func() error {
		if pid = l.controllerProcess(t); pid == 0 || pid == before {
			return fmt.Errorf("its process is %d", pid)
		}
		_, err := l.Kubectl(t.Context(), "get", "kdoctorreports")
		return err
	})
	return pid
}

// missed takes the controller away for the window of one start. A long timeout makes that window short: a quarter of a
// minute.
func missed(t *testing.T, l life) {
	l.apply(t, "missed", "schedule: {schedule: \"0 1\", roundNumber: 2}\n  "+strings.Replace(light, "2000", "50000", 1))
	first := l.until(t, "missed", time.Minute, "the first round is over",
		func(n v1beta1.NetReach) bool { return n.Status.DoneRound != nil && *n.Status.DoneRound == 1 })
	scale := func(replicas string) {
		kubectl(t, l.Cluster, "scale", "--namespace", cluster.Namespace, "deployment/kdoctor-controller", "--replicas="+
			replicas, "--timeout=60s")
	}
	scale("0")
	defer scale("1")
	start := first.Status.History[0].StartTimeStamp
	<-time.After(time.Until(start.Add(16 * time.Second)))
	scale("1")
	told := l.until(t, "missed", 90*time.Second, "the missed start is told of", func(n v1beta1.NetReach) bool {
		return meta.IsStatusConditionFalse(n.Status.Conditions, controller.OnTime)
	})
	if c := meta.FindStatusCondition(told.Status.Conditions, controller.OnTime); c.Reason != controller.RoundMissed ||
		!strings.Contains(c.Message, "1 planned start of round 2") {
		t.Errorf("the condition is %+v", c)
	}
	if next := told.Status.History[0].StartTimeStamp; next.Sub(start.Time) != time.Minute {
		t.Errorf("the next start is %v, want a minute after %v", next, start)
	}
	done := l.finished(t, "missed", 2*time.Minute)
	if !meta.IsStatusConditionTrue(done.Status.Conditions, controller.OnTime) || *done.Status.DoneRound != 2 ||
		len(done.Status.History) != 2 {
		t.Errorf("status %+v; want two rounds and the condition true again", done.Status)
	}
	wantPassed(t, l.report(t, "netreach-missed:2"), nodes, lightly)
}

// fullDisk puts the reports into a volume of one megabyte and fills it.
func fullDisk(t *testing.T, l life) {
	before := l.controllerProcess(t)
	kubectl(t, l.Cluster, "patch", "deployment", "--namespace", cluster.Namespace, "kdoctor-controller",
		"--type=strategic", "-p",
		`{"spec":{"template":{"spec":{"volumes":[{"name":"reports","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}]}}}}`)
	kubectl(t, l.Cluster, "rollout", "status", "--namespace", cluster.Namespace, "deployment/kdoctor-controller",
		"--timeout=60s")
	folder := fmt.Sprintf("/proc/%d/root/var/lib/kdoctor/reports", l.apiBack(t, before))
	filler := filepath.Join(folder, "filler")
	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filler)
	written, block := 0, make([]byte, 4096)
	for err == nil && written < 16<<20 {
		var n int
		n, err = file.Write(block)
		written += n
	}
	file.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d bytes the volume is not full: %v", written, err)
	}
	for _, name := range []string{"full-1", "full-2"} {
		l.apply(t, name, light)
	}
	for _, name := range []string{"full-1", "full-2"} {
		done := l.finished(t, name, time.Minute)
		if *done.Status.LastRoundStatus != v1beta1.Succeed {
			t.Errorf("%s: status %+v; want a success", name, done.Status)
		}
		wantPassed(t, l.report(t, "netreach-"+name), nodes, lightly)
		eventually(t, 10*time.Second, "an event tells of it", func() error {
			out, err := l.Kubectl(t.Context(), "get", "events", "--all-namespaces", "--field-selector",
				"reason=ReportNotKept,involvedObject.name="+name, "-o", "name")
			if err == nil && strings.TrimSpace(out) == "" {
				err = errors.New("there is no event ReportNotKept")
			}
			return err
		})
	}
	if list := kubectl(t, l.Cluster, "get", "kdoctorreports"); !strings.Contains(list, "netreach-full-1") ||
		!strings.Contains(list, "netreach-full-2") {
		t.Errorf("the list lacks reports:\n%s", list)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 90*time.Second, "the reports are written", func() error {
		for _, name := range []string{"full-1", "full-2"} {
			found, err := filepath.Glob(filepath.Join(folder, string(l.task(t, name).UID), "*", "*1.json.gz"))
			if err != nil {
				return err
			}
			if len(found) != 1 {
				return fmt.Errorf("of %s there are %d", name, len(found))
			}
		}
		return nil
	})
}
