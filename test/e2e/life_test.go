package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/test/cluster"
)

// life is the cluster on which tasks live. What scenarios wait for they read with its client, since many wait at the same time.
type life struct {
	*cluster.Cluster
	api client.Client
}

// scenario is one thing that is promised, and how it is seen.
type scenario struct {
	name string
	run  func(*testing.T, life)
}

// TestLifeCycle follows tasks from their making to their end. Scenarios that disturb nobody run in lanes side by side, so that they share
// their waiting; what changes the agents, their nodes or the controller runs after that, one by one.
func TestLifeCycle(t *testing.T) {
	c := up(t, "e2e-life", nodes, []string{"service/kdoctor-agent-ipv4", "service/kdoctor-agent-ipv6", "ingress/kdoctor-agent"})
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
	l := life{Cluster: c, api: api}
	for _, lanes := range [][][]scenario{schedules(), runtimes(), {paths()}, {troubles()}} {
		var together sync.WaitGroup
		for _, lane := range lanes {
			together.Go(func() {
				for _, s := range lane {
					t.Run(s.name, func(t *testing.T) { s.run(t, l) })
				}
			})
		}
		together.Wait()
	}
}

// A load that is small enough for many tasks at the same time, and the paths that it takes.
const (
	light   = "request: {durationInSecond: 1, qps: 4, perRequestTimeoutInMS: 2000}\n  target: {clusterIP: false, nodePort: false}"
	lightly = 4
)

// apply applies a task of the spec, whose lines are indented by two spaces, and has it deleted when the test is over.
func (l life) apply(t *testing.T, name, spec string) {
	t.Helper()
	apply(t, l.Cluster, name, fmt.Sprintf("apiVersion: kdoctor.io/v1beta1\nkind: NetReach\nmetadata: {name: %s}\nspec:\n  %s\n", name, spec))
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
func (l life) until(t *testing.T, name string, within time.Duration, what string, check func(v1beta1.NetReach) bool) v1beta1.NetReach {
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
			if err := l.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) != nil || err == nil {
				left = append(left, fmt.Errorf("%T %s: %w", o, o.GetName(), errors.Join(err, errStays)))
			}
		}
		return errors.Join(left...)
	})
}

// errStays is what gone says of an object that can be read.
var errStays = errors.New("it is still there")

// wantPassed checks that the round which the report is about succeeded, on that many agents, on as many nodes, with exactly so many requests
// to each target.
func wantPassed(t *testing.T, r systemv1beta1.KdoctorReport, agents int, requests int64) {
	t.Helper()
	seen := map[string]bool{}
	for _, agent := range r.Spec.Report {
		seen[agent.NodeName] = true
		if agent.RoundResult != "succeed" || agent.NetReachTask.TargetNumber == 0 || int64(len(agent.NetReachTask.Detail)) != agent.NetReachTask.TargetNumber {
			t.Errorf("%s, node %s: result %s, %d targets, %d details", r.Name, agent.NodeName, agent.RoundResult, agent.NetReachTask.TargetNumber, len(agent.NetReachTask.Detail))
		}
		for _, detail := range agent.NetReachTask.Detail {
			checkDetail(t, agent.NodeName, detail, requests)
			if !detail.Succeed {
				t.Errorf("%s, node %s, %s: %s", r.Name, agent.NodeName, detail.TargetName, reason(detail))
			}
		}
	}
	if len(r.Spec.Report) != agents || len(seen) != agents || len(r.Spec.NotReported) != 0 || len(r.Spec.FailedReasons) != 0 {
		t.Errorf("%s: %d agents on %d nodes reported, want %d; without a report %v; reasons %v", r.Name, len(r.Spec.Report), len(seen), agents, r.Spec.NotReported, r.Spec.FailedReasons)
	}
}

// sum is how many requests the agents of the report sent: counted ones, those over kept connections, and how many of these succeeded.
type sum struct{ counted, kept, keptOK uint64 }

func sent(r systemv1beta1.KdoctorReport) (total sum) {
	for _, agent := range r.Spec.Report {
		for _, detail := range agent.NetReachTask.Detail {
			total.counted += uint64(detail.Metrics.RequestCounts) // #nosec G115 -- a count
			if k := detail.Metrics.KeptConnection; k != nil {
				total.kept += uint64(k.RequestCounts)   // #nosec G115 -- a count
				total.keptOK += uint64(k.SuccessCounts) // #nosec G115 -- a count
			}
		}
	}
	return total
}

// answered is how many requests of the task's first round its agents answered, as they say themselves.
func (l life) answered(t *testing.T, of v1beta1.NetReach) (counted, kept uint64) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	runtime := of.Status.Resource
	snapshot, err := inventory.New(l.api, cluster.Namespace).Snapshot(t.Context(), topology.Workload{Kind: runtime.RuntimeType, Name: runtime.RuntimeName})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := control.NewPortForwarder(config)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	asker := control.New(control.Config{TLS: credentials(t, l.api), Forward: forward})
	defer asker.Close()
	for _, agent := range snapshot.Agents {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		fetched, err := asker.Fetch(ctx, agent, schedule.Key{UID: string(of.UID), Generation: of.Status.RoundsGeneration, Round: 1})
		cancel()
		if err != nil {
			t.Errorf("ask %s: %v", agent.Pod, err)
		}
		counted += fetched.Served
		kept += fetched.ServedKept
	}
	return counted, kept
}
