package inventory_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// lived is what the cases about an agent's comings and goings look at.
type lived struct {
	Restarts                int32
	Deleted, Started, Ended time.Time
	EndReason               string
}

func livedOf(a topology.Agent) lived {
	return lived{Restarts: a.Restarts, Deleted: a.Deleted, Started: a.Started, Ended: a.Ended, EndReason: a.EndReason}
}

// containers sets the statuses of the agent's container and of another beside it, which is of no concern.
func containers(status corev1.ContainerStatus) func(*corev1.Pod) {
	status.Name = "agent"
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar", RestartCount: 9}, status}
	}
}

func TestWhenAnAgentCameAndWent(t *testing.T) {
	second := func(s int64) metav1.Time { return metav1.Unix(s, 0) }
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: second(50)}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: second(40),
		Reason: "OOMKilled"}}
	grace := func(p *corev1.Pod) { seconds := int64(15); p.DeletionGracePeriodSeconds = &seconds }
	cases := []struct {
		name string
		pod  *corev1.Pod
		want lived
	}{
		{"one that runs since it was made",
			pod("a", "n1", "workload", containers(corev1.ContainerStatus{State: running})),
			lived{Started: time.Unix(50, 0)}},
		{"one that was started again after it ran out of memory",
			pod("a", "n1", "workload",
				containers(corev1.ContainerStatus{State: running, LastTerminationState: ended, RestartCount: 3})),
			lived{Restarts: 3, Started: time.Unix(50, 0), Ended: time.Unix(40, 0), EndReason: "OOMKilled"}},
		{"one that ended and does not run",
			pod("a", "n1", "workload", containers(corev1.ContainerStatus{State: ended, RestartCount: 2})),
			lived{Restarts: 2, Ended: time.Unix(40, 0), EndReason: "OOMKilled"}},
		{"one whose deletion was asked for as long before its timestamp as it may take to end",
			pod("a", "n1", "workload", terminating, grace), lived{Deleted: time.Unix(85, 0)}},
		{"one that must end at once", pod("a", "n1", "workload", terminating), lived{Deleted: time.Unix(100, 0)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := inventory.New(reader(t, []client.Object{daemonSet(1), node("n1"), c.pod}), namespace).
				Snapshot(context.Background(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Agents) != 1 {
				t.Fatalf("agents %+v", got.Agents)
			}
			if diff := cmp.Diff(c.want, livedOf(got.Agents[0])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsThatAreReplacedLeave(t *testing.T) {
	objects := []client.Object{daemonSet(1), node("n1"), pod("old", "n1", "workload", terminating),
		pod("new", "n1", "workload")}
	got, err := inventory.New(reader(t, objects), namespace).Snapshot(context.Background(),
		topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Agents) != 1 || got.Agents[0].Pod != "new" || len(got.Leaving) != 1 || got.Leaving[0].Pod != "old" ||
		got.Leaving[0].Deleted.IsZero() {
		t.Errorf("agents %+v, leaving %+v; want new in the one and old, with its deletion, in the other", got.Agents,
			got.Leaving)
	}
}

func TestNodesThatAreTakenOutOfUse(t *testing.T) {
	objects := []client.Object{daemonSet(0), node("in-use"),
		node("by-hand", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
		node("by-the-autoscaler", tainted("ToBeDeletedByClusterAutoscaler", corev1.TaintEffectNoSchedule)),
		node("broken", notReadyNode)}
	got, err := inventory.New(reader(t, objects), namespace).Snapshot(context.Background(),
		topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
	if err != nil {
		t.Fatal(err)
	}
	cordoned := map[string]bool{}
	for _, n := range got.Nodes {
		cordoned[n.Name] = n.Cordoned
	}
	if diff := cmp.Diff(map[string]bool{"in-use": false, "by-hand": true, "by-the-autoscaler": true, "broken": false},
		cordoned); diff != "" {
		t.Errorf("cordoned (-want +got):\n%s", diff)
	}
}
