package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/test/cluster"
)

// lifeCluster is the name of the cluster on which tasks live.
const lifeCluster = "e2e-life"

// life is the cluster on which tasks live. What scenarios wait for they read with its client, since many wait at the
// same time.
type life struct {
	*cluster.Cluster
	api client.Client
	// turn is held for reading by those who make or remove agents, and for writing by those who send much over every
	// way.
	turn *sync.RWMutex
}

// scenario is one thing that is promised, and how it is seen.
type scenario struct {
	name string
	run  func(*testing.T, life)
}

// lifeCycle has the scenarios in groups, one after the other, and each group in lanes side by side, so that scenarios
// share their waiting. What changes the agents, their nodes, their Services or the controller has a group of its own.
func lifeCycle() [][][]scenario {
	return [][][]scenario{schedules(), {paths()}, {troubles()}, faults(), {replacements()}, {fleet()}}
}

// longLife is as lifeCycle, of what takes minutes because Kubernetes or the promise itself does.
func longLife() [][][]scenario {
	return [][][]scenario{inVain(), {longTroubles()}}
}

// TestLifeCycle follows tasks from their making to their end, beside other tests that have clusters of their own.
func TestLifeCycle(t *testing.T) {
	t.Parallel()
	live(t, lifeCycle())
}

// TestLongLife is what of TestLifeCycle would make it too long for a check that runs often.
func TestLongLife(t *testing.T) { live(t, longLife()) }

func live(t *testing.T, groups [][][]scenario) {
	c := up(t, lifeCluster, nodes,
		[]string{"service/kdoctor-agent-ipv4", "service/kdoctor-agent-ipv6", "ingress/kdoctor-agent"})
	// What the libraries log says nothing that a failed test would not.
	log.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 200, 200
	api, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	l := life{Cluster: c, api: api, turn: &sync.RWMutex{}}
	began := time.Now()
	for _, lanes := range groups {
		var together sync.WaitGroup
		for _, lane := range lanes {
			together.Go(func() {
				for _, s := range lane {
					t.Run(s.name, func(t *testing.T) {
						from := time.Since(began)
						defer func() {
							t.Logf("from second %.0f to %.0f", from.Seconds(),
								time.Since(began).Seconds())
						}()
						s.run(t, l)
					})
				}
			})
		}
		together.Wait()
	}
}

// making keeps loads over every way from running while do makes or removes agents, which is work for the machine and
// has the Ingress controller take up its configuration anew. Others may make theirs meanwhile.
func (l life) making(do func()) {
	l.turn.RLock()
	defer l.turn.RUnlock()
	do()
}

// alone resumes a task that was made suspended when no other load over every way runs and nobody makes agents, and
// returns it once it has finished. Several such loads at a time are more than a small machine can send in time.
func (l life) alone(t *testing.T, name string) v1beta1.NetReach {
	t.Helper()
	l.turn.Lock()
	defer l.turn.Unlock()
	l.resume(t, name)
	return l.finished(t, name, 90*time.Second)
}

func (l life) resume(t *testing.T, name string) {
	t.Helper()
	kubectl(t, l.Cluster, "patch", "netreach", name, "--type=merge", "-p", `{"spec":{"suspend":false}}`)
}

// A load that is small enough for many tasks at the same time, and the paths that it takes.
const (
	light = "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 2000}\n  target: {clusterIP: false, " +
		"nodePort: false}"
	lightly = 4
)

// apply applies a task of the spec, whose lines are indented by two spaces, and has it deleted when the test is over.
func (l life) apply(t *testing.T, name, spec string) {
	t.Helper()
	apply(t, l.Cluster, name, fmt.Sprintf("apiVersion: kdoctor.io/v1beta1\nkind: NetReach\nmetadata: {name: "+
		"%s}\nspec:\n  %s\n", name, spec))
}

func (l life) task(t *testing.T, name string) v1beta1.NetReach {
	t.Helper()
	var found v1beta1.NetReach
	if err := l.api.Get(t.Context(), client.ObjectKey{Name: name}, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// until waits until the task is as check wants it.
func (l life) until(t *testing.T, name string, within time.Duration, what string,
	check func(v1beta1.NetReach) bool) v1beta1.NetReach {
	t.Helper()
	var found v1beta1.NetReach
	eventually(t, within, what, func() error {
		if err := l.api.Get(t.Context(), client.ObjectKey{Name: name}, &found); err != nil {
			return err
		}
		if !check(found) {
			return fmt.Errorf("the status is %+v", found.Status)
		}
		return nil
	})
	return found
}

func (l life) finished(t *testing.T, name string, within time.Duration) v1beta1.NetReach {
	t.Helper()
	return l.until(t, name, within, "the task finishes", func(n v1beta1.NetReach) bool { return n.Status.Finish })
}

func (l life) ongoing(t *testing.T, name string, within time.Duration) v1beta1.NetReach {
	t.Helper()
	return l.until(t, name, within, "the round runs", func(n v1beta1.NetReach) bool {
		return len(n.Status.History) > 0 && n.Status.History[0].Status == v1beta1.RecordOngoing
	})
}

// report is the kept report of that name, such as netreach-task or netreach-task:3.
func (l life) report(t *testing.T, name string) systemv1beta1.KdoctorReport {
	t.Helper()
	var found systemv1beta1.KdoctorReport
	if err := l.api.Get(t.Context(), client.ObjectKey{Name: name}, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// gone waits until none of the objects exists.
func (l life) gone(t *testing.T, within time.Duration, objects ...client.Object) {
	t.Helper()
	eventually(t, within, "all is gone", func() error {
		var left []error
		for _, o := range objects {
			if err := l.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) != nil ||
				err == nil {
				left = append(left, fmt.Errorf("%T %s: %w", o, o.GetName(), errors.Join(err, errStays)))
			}
		}
		return errors.Join(left...)
	})
}

// errStays is what gone says of an object that can be read.
var errStays = errors.New("it is still there")

// wantPassed checks that the round which the report is about succeeded, on that many agents, on as many nodes, with
// exactly so many requests to each target.
func wantPassed(t *testing.T, r systemv1beta1.KdoctorReport, agents int, requests int64) {
	t.Helper()
	seen := map[string]bool{}
	for _, agent := range r.Spec.Report {
		seen[agent.NodeName] = true
		if agent.RoundResult != "succeed" || agent.NetReachTask.TargetNumber == 0 ||
			int64(len(agent.NetReachTask.Detail)) != agent.NetReachTask.TargetNumber {
			t.Errorf("%s, node %s: result %s, %d targets, %d details", r.Name, agent.NodeName, agent.RoundResult,
				agent.NetReachTask.TargetNumber, len(agent.NetReachTask.Detail))
		}
		for _, detail := range agent.NetReachTask.Detail {
			checkDetail(t, agent.NodeName, detail, requests)
			if !detail.Succeed {
				t.Errorf("%s, node %s, %s: %s", r.Name, agent.NodeName, detail.TargetName, reason(detail))
			}
		}
	}
	if len(r.Spec.Report) != agents || len(seen) != agents || len(r.Spec.NotReported) != 0 ||
		len(r.Spec.FailedReasons) != 0 {
		t.Errorf("%s: %d agents on %d nodes reported, want %d; without a report %v; reasons %v", r.Name,
			len(r.Spec.Report), len(seen), agents, r.Spec.NotReported, r.Spec.FailedReasons)
	}
}

// sum is how many requests the agents of the report sent: counted ones, those over kept connections, and how many of
// these were sent over one that the other side had closed.
type sum struct{ counted, kept, closed uint64 }

func sent(r systemv1beta1.KdoctorReport) (total sum) {
	for _, agent := range r.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			total.counted += uint64(detail.Metrics.RequestCounts) // #nosec G115 -- a count
			if k := detail.Metrics.KeptConnection; k != nil {
				total.kept += uint64(k.RequestCounts)       // #nosec G115 -- a count
				total.closed += uint64(k.ClosedByOtherSide) // #nosec G115 -- a count
			}
		}
	}
	return total
}

// relayed reports whether the target is reached through something that is told of other Services, and then closes
// connections which are idle: nginx does, and HTTP allows it to. A request that was under way then reached nobody, and
// the report says so. The load balancer of the lab has a process for each Service.
func relayed(target string) bool { return strings.HasPrefix(target, "AgentIngress") }

// wantCountsToAgree checks that each request which agents sent in the task's only round was answered by one of them, as
// these say themselves. What is missing of the kept stream has to be told of, and only where something between the
// agents can have closed a connection.
func wantCountsToAgree(t *testing.T, l life, of v1beta1.NetReach, r systemv1beta1.KdoctorReport) {
	t.Helper()
	for _, agent := range r.Spec.Report {
		for _, d := range agent.NetReachTask.Detail {
			k := d.Metrics.KeptConnection
			if k == nil || k.RequestCounts == 0 {
				t.Errorf("%s, node %s, %s: no request over a kept connection: %+v", r.Name, agent.NodeName,
					d.TargetName, k)
				continue
			}
			lost := k.RequestCounts - k.SuccessCounts
			if lost != 0 && (!relayed(d.TargetName) || lost != k.ClosedByOtherSide) {
				t.Errorf("%s, node %s, %s: %d of %d requests over kept connections succeeded, %d found theirs "+
					"closed, errors %v; want all",
					r.Name, agent.NodeName, d.TargetName, k.SuccessCounts, k.RequestCounts, k.ClosedByOtherSide,
					k.Errors)
			}
		}
	}
	total := sent(r)
	if counted, kept := l.answered(t, of); total.counted != counted || kept > total.kept || kept+
		total.closed < total.kept {
		t.Errorf("%s: %d requests were sent and %d answered; over kept connections %d, %d of them over closed ones, "+
			"and %d; want the same",
			r.Name, total.counted, counted, total.kept, total.closed, kept)
	}
}

// runs are the agents that run the task, or ran it, and the key of its first round.
func (l life) runs(t *testing.T, of v1beta1.NetReach) (agents, schedule.Key) {
	t.Helper()
	runtime := of.Status.Resource
	return dialAgents(t, l.Cluster, topology.Workload{Kind: runtime.RuntimeType, Name: runtime.RuntimeName}),
		schedule.Key{UID: string(of.UID), Generation: of.Status.RoundsGeneration, Round: 1}
}

// answered is how many requests of the task's first round its agents answered, as they say themselves.
func (l life) answered(t *testing.T, of v1beta1.NetReach) (counted, kept uint64) {
	t.Helper()
	found, key := l.runs(t, of)
	for _, agent := range found.all {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		fetched, err := found.client.Fetch(ctx, agent, key)
		cancel()
		if err != nil {
			t.Errorf("ask %s: %v", agent.Pod, err)
		}
		counted += fetched.Served
		kept += fetched.ServedPersistent
	}
	return counted, kept
}

// begun waits until each agent works on the task's first round: the status tells of a round before its agents have
// heard of it.
func (l life) begun(t *testing.T, of v1beta1.NetReach) {
	t.Helper()
	found, key := l.runs(t, of)
	eventually(t, 10*time.Second, "the agents begin", func() error {
		for _, agent := range found.all {
			if _, err := found.client.Fetch(t.Context(), agent, key); err != nil {
				return fmt.Errorf("ask %s: %w", agent.Pod, err)
			}
		}
		return nil
	})
}
