package controller

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// balanced is the task that also probes a load balancer, over IPv4.
func balanced(t Task) Task {
	t.Want.Kinds, t.Want.Families = []target.Kind{target.LoadBalancer}, []topology.Family{topology.IPv4}
	return t
}

// standing is what a look at the front of the default agents finds.
func frontState(asked, since time.Duration, missing ...string) agentState {
	s := agentState{step: ensureFront, standing: workload.RolloutStatus{Asked: created().Add(asked), Missing: missing}}
	if since >= 0 {
		s.standing.Since = created().Add(since)
	}
	return s
}

func TestRoundsWaitForAddressesInFrontOfTheDefaultAgents(t *testing.T) {
	const missing = "Service kdoctor-agent-ipv4 has no load balancer address yet"
	for _, c := range []struct {
		name   string
		front  agentState
		now    time.Duration
		begins bool
	}{
		{"an address that is missing is waited for", frontState(0, -1, missing), 10 * time.Second, false},
		{"but not for ever", frontState(0, -1, missing), agentsLimit, true},
		{"one that came just now is given time to be known", frontState(0, 8*time.Second), 10 * time.Second, false},
		{"one that came before is used", frontState(0, 8*time.Second), 14 * time.Second, true},
		{"what was there long ago is not waited for", frontState(-time.Hour, 8*time.Second), 10 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide(state{task: balanced(minutely()), workload: standard(), own: c.front,
				now: created().Add(c.now)})
			if begins := d.begin.UID != ""; begins != c.begins {
				t.Errorf("a round begins: %t, want %t; %+v", begins, c.begins, d.status.Conditions)
			}
			if !c.begins && d.after != agentsPoll {
				t.Errorf("looked at again after %s, want %s", d.after, agentsPoll)
			}
		})
	}
}

func TestARefusedLoadBalancerIsToldOfAndTheRoundRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task, yes := netReach("u"), true
		task.Spec.Target.LoadBalancer = &yes
		s := newStage(t, task)
		s.agents.err = apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "kdoctor-agent-ipv4",
			errors.New("exceeded quota: services.loadbalancers=0"))
		s.reconcile(t)
		time.Sleep(2 * roundTakes)
		synctest.Wait()
		if len(s.ran) != 1 ||
			s.ran[0].NoLoadBalancer != "services \"kdoctor-agent-ipv4\" is forbidden: exceeded quota: "+
				"services.loadbalancers=0" {
			t.Errorf("rounds ran on %+v, want the API server's own words for the gap", s.ran)
		}
		if told := s.told(); !slices.ContainsFunc(told, func(e string) bool {
			return cmp.Equal(e, "Warning FrontRefused services \"kdoctor-agent-ipv4\" is forbidden: exceeded quota: "+
				"services.loadbalancers=0")
		}) {
			t.Errorf("told was %q", told)
		}
	})
}

// porch is the front of the default agents in memory.
type porch struct {
	crew
	released workload.Demand
	exist    []string
}

func (p *porch) ReleaseStandard(_ context.Context, want workload.Demand, _ time.Duration, _ time.Time) error {
	p.released = want
	return nil
}

func (p *porch) Collect(_ context.Context, exist map[string]bool) error {
	for uid := range exist {
		p.exist = append(p.exist, uid)
	}
	slices.Sort(p.exist)
	return nil
}

func TestHousekeepingKeepsWhatTasksWithRoundsToComeAskFor(t *testing.T) {
	task := func(uid string, change func(*v1beta1.NetReach)) client.Object {
		n, yes := netReach(uid), true
		n.Name = "task-" + uid
		n.Spec.Target.LoadBalancer = &yes
		change(n)
		return n
	}
	finish := func(n *v1beta1.NetReach) {
		n.Status.Finish, n.Status.ObservedGeneration = true, 1
		read, err := netreach.Kind().Read(n)
		if err != nil {
			t.Fatal(err)
		}
		n.Status.Revision = read.Revision
	}
	for name, c := range map[string]struct {
		tasks  []client.Object
		always workload.Demand
		want   workload.Demand
	}{
		"a task with rounds to come": {tasks: []client.Object{task("a", func(*v1beta1.NetReach) {})},
			want: workload.Demand{LoadBalancer: []topology.Family{topology.IPv4}}},
		"a task that has finished": {tasks: []client.Object{task("a", finish)}},
		"one that has finished and one that has not": {tasks: []client.Object{task("a", finish),
			task("b", func(n *v1beta1.NetReach) {
				yes, no := true, false
				n.Spec.Target.LoadBalancer, n.Spec.Target.Ingress = &no, &yes
			})}, want: workload.Demand{Ingress: true}},
		"a task with agents of its own": {tasks: []client.Object{task("a", func(n *v1beta1.NetReach) {
			n.Spec.AgentSpec = &v1beta1.AgentSpec{}
		})}},
		"what is always there": {always: workload.Demand{Ingress: true}, want: workload.Demand{Ingress: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s, front := newStage(t, c.tasks...), &porch{}
			h := NewHousekeeping(HousekeepingConfig{Reader: s.api, Kinds: []kind.Kind{netreach.Kind()}, Front: front,
				Always: c.always, Log: logr.Discard()})
			if err := h.once(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, front.released); diff != "" || len(front.exist) != len(c.tasks) {
				t.Errorf("tasks that exist: %v; kept is (-want +got):\n%s", front.exist, diff)
			}
		})
	}
}
