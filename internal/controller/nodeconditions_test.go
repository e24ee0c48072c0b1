package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// grounds is a cluster of nodes whose conditions are kept.
type grounds struct {
	*NodeConditions
	api client.Client
}

func newGrounds(t *testing.T, clear bool, nodes ...*corev1.Node) grounds {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	build := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&corev1.Node{})
	for _, node := range nodes {
		build = build.WithObjects(node)
	}
	api := build.Build()
	return grounds{api: api, NodeConditions: NewNodeConditions(NodeConditionsConfig{Client: api, Clear: clear,
		Log: logr.Discard(), Nodes: func(ctx context.Context) (map[string]types.UID, error) {
			var list corev1.NodeList
			err := api.List(ctx, &list)
			uids := map[string]types.UID{}
			for i := range list.Items {
				uids[list.Items[i].Name] = list.Items[i].UID
			}
			return uids, err
		}})}
}

// aNode is a node with a condition of the kubelet's, and others.
func aNode(name string, conditions ...corev1.NodeCondition) *corev1.Node {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name)},
		Status: corev1.NodeStatus{Conditions: append(conditions, ready)}}
}

// look looks after the conditions at the time and returns the node's, as one text.
func (g grounds) look(t *testing.T, now time.Time, name string) string {
	t.Helper()
	if err := g.once(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var node corev1.Node
	if err := g.api.Get(t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
		t.Fatal(err)
	}
	text, kubelet := "none", false
	for _, c := range node.Status.Conditions {
		kubelet = kubelet || c.Type == corev1.NodeReady && c.Reason == "KubeletReady"
		if c.Type == NodeCondition {
			text = fmt.Sprintf("%s %s since %v confirmed %v", c.Status, c.Reason, c.LastTransitionTime.Sub(created()),
				c.LastHeartbeatTime.Sub(created()))
		}
	}
	if !kubelet {
		t.Errorf("the node's own conditions are gone: %+v", node.Status.Conditions)
	}
	return text
}

// accuses is a round in which n1 fails and is accused.
func accuses() Summary {
	f := atNode("n1")
	f.Kinds, f.Others, f.Confidence = 2, 2, "high"
	return Summary{Result: verdict.Fail, Succeeded: []string{"n0", "n2"}, Failed: []string{"n1"},
		Findings: []report.Finding{f}}
}

func TestTheConditionOfANodeFollowsWhatRoundsFind(t *testing.T) {
	g := newGrounds(t, false, aNode("n0"), aNode("n1"), aNode("n2"))
	// Rounds are as of the clock; only the writing is as of these times.
	now := time.Now().Truncate(time.Second)
	at := func(d time.Duration) string { return now.Add(d).Sub(created()).String() }
	check := func(what string, after time.Duration, node, want string) {
		t.Helper()
		if diff := cmp.Diff(want, g.look(t, now.Add(after), node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("no round yet", 0, "n1", "none")
	for range 3 {
		check("not yet three rounds", 0, "n1", map[bool]string{true: "none",
			false: "False NoProblem since " + at(0) + " confirmed " + at(0)}[len(g.measured) == 0])
		g.Observe("u", accuses(), time.Minute)
	}
	check("three rounds in a row", time.Second, "n1",
		"True PathsFail since "+at(time.Second)+" confirmed "+at(time.Second))
	check("another node was measured", time.Second, "n0", "False NoProblem since "+at(0)+" confirmed "+at(0))
	check("within a minute nothing is written", 40*time.Second, "n1",
		"True PathsFail since "+at(time.Second)+" confirmed "+at(time.Second))
	check("then it is confirmed", 61*time.Second, "n1",
		"True PathsFail since "+at(time.Second)+" confirmed "+at(61*time.Second))
	g.Observe("u", Summary{Result: verdict.NoData}, time.Minute)
	g.Forget("u")
	check("the task is gone", 70*time.Second, "n1",
		"False NoProblem since "+at(70*time.Second)+" confirmed "+at(70*time.Second))
	check("what is well is not confirmed", time.Hour, "n1",
		"False NoProblem since "+at(70*time.Second)+" confirmed "+at(70*time.Second))
}

func TestTheConditionThatAnotherControllerLeftIsTakenOver(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	left := corev1.NodeCondition{Type: NodeCondition, Status: corev1.ConditionTrue, Reason: PathsFail, Message: "old",
		LastTransitionTime: at(0), LastHeartbeatTime: at(0)}
	g := newGrounds(t, false, aNode("n0"), aNode("n1", left))
	confirmed := "True PathsFail since 0s confirmed " + now.Sub(created()).String()
	if got := g.look(t, now, "n1"); got != confirmed {
		t.Errorf("at first: %s, want %s", got, confirmed)
	}
	later := now.Add(15 * time.Minute)
	want := fmt.Sprintf("False NoProblem since %v confirmed %v", later.Sub(created()), later.Sub(created()))
	if got := g.look(t, later, "n1"); got != want {
		t.Errorf("after 15 minutes without a round: %s, want %s", got, want)
	}
}

func TestTheConditionIsTakenAwayFromAllNodes(t *testing.T) {
	left := corev1.NodeCondition{Type: NodeCondition, Status: corev1.ConditionTrue}
	g := newGrounds(t, true, aNode("n0"), aNode("n1", left), aNode("n2", left))
	for _, name := range []string{"n0", "n1", "n2"} {
		if got := g.look(t, created(), name); got != "none" {
			t.Errorf("node %s: %s, want none", name, got)
		}
	}
}

func TestANodeThatIsMadeAgainGetsItsConditionAgain(t *testing.T) {
	g := newGrounds(t, false, aNode("n0"), aNode("n1"), aNode("n2"))
	g.Observe("u", accuses(), time.Minute)
	if got := g.look(t, created(), "n0"); got != "False NoProblem since 0s confirmed 0s" {
		t.Fatalf("a measured node: %s", got)
	}
	if err := g.api.Delete(t.Context(), aNode("n0")); err != nil {
		t.Fatal(err)
	}
	again := aNode("n0")
	again.UID = "another"
	if err := g.api.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got := g.look(t, created().Add(time.Minute), "n0"); got != "False NoProblem since 1m0s confirmed 1m0s" {
		t.Errorf("the node that was made again: %s", got)
	}
}

func TestALookWritesABoundedNumberOfConditionsProblemsFirst(t *testing.T) {
	n := NewNodeConditions(NodeConditionsConfig{Log: logr.Discard()})
	uids := map[string]types.UID{}
	var all []string
	for i := range 5000 {
		name := fmt.Sprintf("n%d", i)
		uids[name] = "u"
		all = append(all, name)
	}
	s := accuses()
	s.Succeeded = all[2:]
	for range 3 {
		n.Observe("u", s, 0)
	}
	got := n.wanted(uids, time.Now())
	if len(got) != mostNodeWrites || got["n1"].Status != corev1.ConditionTrue {
		t.Errorf("%d conditions are written, and that of n1 is %+v; want %d with the problem of n1", len(got), got["n1"],
			mostNodeWrites)
	}
}
