package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

func standard() topology.Workload {
	return topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-agent",
		Services: []string{"kdoctor-agent-ipv4", "kdoctor-agent-ipv6"}, Ingress: "kdoctor-agent"}
}

// crew is agents of a task's own in memory: what is to come of the next call, and which calls were made.
type crew struct {
	standing workload.RolloutStatus
	err      error
	calls    []string
	wish     workload.DesiredAgents
	demand   workload.Demand
}

func (c *crew) Standard(context.Context) (topology.Workload, error) { return standard(), nil }

func (c *crew) EnsureStandard(_ context.Context, want workload.Demand) (workload.RolloutStatus, error) {
	c.calls, c.demand = append(c.calls, "ensure what is in front"), want
	return c.standing, c.err
}

func (c *crew) Ensure(_ context.Context, wish workload.DesiredAgents) (workload.RolloutStatus, error) {
	c.calls, c.wish = append(c.calls, "ensure "+wish.Names.Name), wish
	standing := c.standing
	c.standing.Made = false
	return standing, c.err
}

func (c *crew) Remove(_ context.Context, wish workload.DesiredAgents) error {
	c.calls, c.wish = append(c.calls, "remove "+wish.Names.Name), wish
	return c.err
}

// privately is the task with agents of its own, which stay ten minutes after its end.
func privately(t Task) Task {
	ten := int64(10)
	t.OwnAgents = &v1beta1.AgentSpec{Kind: topology.DaemonSet, TerminationGracePeriodMinutes: &ten}
	return t
}

// withAgents is the task with a status that says how its own agents stand, and since when.
func withAgents(t Task, status string, ready metav1.ConditionStatus, reason string, since time.Duration) Task {
	t = privately(t)
	t.Status.Resource = resourceOf(workloadOf(t, standard()), status)
	t.Status.Conditions = append(t.Status.Conditions,
		metav1.Condition{Type: AgentsReady, Status: ready, Reason: reason, Message: "m", ObservedGeneration: 1,
			LastTransitionTime: at(since)})
	return t
}

// waitingFor is the task whose rounds wait for agents that are starting since the time given.
func waitingFor(t Task, since time.Duration) Task {
	t = withAgents(t, runtimeCreating, metav1.ConditionFalse, AgentsStarting, since)
	t.Status.Conditions = append(t.Status.Conditions,
		metav1.Condition{Type: Progressing, Status: metav1.ConditionTrue, Reason: AgentsStarting, ObservedGeneration: 1,
			LastTransitionTime: at(since)})
	return t
}

func finished(t Task, at metav1.Time) Task {
	t.Status.Finish, t.Status.FinishTime = true, &at
	return t
}

// stand is how two of the task's agents stand, of which some are ready since the time given.
func stand(ready int, since time.Duration, missing ...string) agentState {
	return agentState{step: ensure,
		standing: workload.RolloutStatus{Wanted: 2, Ready: ready, Whole: ready == 2, Since: created().Add(since),
			Missing: missing}}
}

func justMade() agentState {
	return agentState{step: ensure, standing: workload.RolloutStatus{Made: true, Wanted: 2}}
}

func refusal() error {
	return fmt.Errorf("apply DaemonSet a/b: %w",
		apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "daemonsets"}, "b",
			errors.New("exceeded quota")))
}

type agentsCase struct {
	name string
	task Task
	own  agentState
	now  time.Duration
	// agents is status.resource.runtimeStatus and the reason of the condition AgentsReady.
	agents string
	want   glance
}

func agentsConditions(ready, progressing, succeeded, onTime, agents string) map[string]string {
	c := conditions(ready, progressing, succeeded, onTime)
	if agents != "" {
		c[AgentsReady] = agents
	}
	return c
}

const (
	starting    = "True AgentsStarting"
	notYet      = "False AgentsStarting"
	allThere    = "True AgentsCreated"
	someMissing = "False AgentsIncomplete"
	gone        = "False AgentsRemoved"
)

func agentsCases() []agentsCase {
	second := record(2, v1beta1.RecordNotStarted, time.Minute)
	return []agentsCase{
		{name: "a new task waits for its agents and plans no round", task: privately(minutely()), own: justMade(),
			now: time.Second, agents: "creating",
			want: glance{After: agentsPoll, Events: []string{"AgentsStarting"},
				Conditions: agentsConditions(accepted, starting, none, onTime, notYet)}},
		{name: "a task that the release before refused is taken up", task: func() Task {
			t := privately(under(0))
			t.Status.Resource = resourceOf(standard(), runtimeCreated)
			return t
		}(),
			own: justMade(), now: time.Second, agents: "creating",
			want: glance{After: agentsPoll, Events: []string{"AgentsStarting"},
				Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "agents that are not all ready are waited for", task: waitingFor(under(0), 0),
			own: stand(1, 10*time.Second), now: 59 * time.Second, agents: "creating",
			want: glance{After: agentsPoll, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "all are ready, but not long enough for every node to know them", task: waitingFor(under(0), 0),
			own: stand(2, 10*time.Second), now: 14 * time.Second, agents: "creating",
			want: glance{After: agentsPoll, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "all are ready, and the schedule counts from now", task: waitingFor(under(0), 0),
			own: stand(2, 10*time.Second), now: 15 * time.Second, agents: "created",
			want: glance{History: []string{"1 ongoing 15s"}, Begin: "u/1/1", Deadline: 75 * time.Second,
				Events:     []string{"AgentsCreated", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", allThere)}},
		{name: "an address that the task probes is waited for", task: waitingFor(under(0), 0),
			own: stand(2, 10*time.Second, "Service x has no load balancer address yet"), now: 59 * time.Second,
			agents: "creating",
			want:   glance{After: agentsPoll, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "after a minute the rounds go on without the address", task: waitingFor(under(0), 0),
			own: stand(2, 10*time.Second, "Service x has no load balancer address yet"), now: 60 * time.Second,
			agents: "created",
			want: glance{History: []string{"1 ongoing 1m0s"}, Begin: "u/1/1", Deadline: 2 * time.Minute,
				Events:     []string{"AgentsIncomplete", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", someMissing)}},
		{name: "after a minute some agents are enough", task: waitingFor(under(0), 0), own: stand(1, 10*time.Second),
			now: 60 * time.Second, agents: "created",
			want: glance{History: []string{"1 ongoing 1m0s"}, Begin: "u/1/1", Deadline: 2 * time.Minute,
				Events:     []string{"AgentsIncomplete", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", someMissing)}},
		{name: "after a minute none is not enough", task: waitingFor(under(0), 0), own: stand(0, 0),
			now: 119 * time.Second, agents: "creating",
			want: glance{After: agentsPoll, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "after two minutes rounds run, whoever is ready", task: waitingFor(under(0), 0), own: stand(0, 0),
			now: 120 * time.Second, agents: "created",
			want: glance{History: []string{"1 ongoing 2m0s"}, Begin: "u/1/1", Deadline: 3 * time.Minute,
				Events:     []string{"AgentsIncomplete", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", someMissing)}},
		{name: "an agent that goes later holds nothing back",
			task: withAgents(under(1, second), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0),
			own:  stand(1, 0), now: time.Minute, agents: "created",
			want: glance{History: []string{"2 ongoing 1m0s"}, Done: 1, Begin: "u/1/2", Deadline: 2 * time.Minute,
				Events: []string{"RoundStarted"}, Conditions: agentsConditions(accepted, started, "", "", allThere)}},
		{name: "agents that come late make the agents complete",
			task: withAgents(under(1, second), runtimeCreated, metav1.ConditionFalse, AgentsIncomplete, -time.Hour),
			own:  stand(2, 0), now: 50 * time.Second, agents: "created",
			want: glance{History: []string{"2 notstarted 1m0s"}, Done: 1, After: 10 * time.Second,
				Events: []string{"AgentsCreated"}, Conditions: agentsConditions(accepted, planned, "", "", allThere)}},
		{name: "agents that were changed under the task hold its next round back",
			task: withAgents(under(1, second), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0), own: justMade(),
			now: time.Minute, agents: "creating",
			want: glance{History: []string{"2 notstarted 1m0s"}, Done: 1, After: agentsPoll,
				Events: []string{"AgentsStarting"}, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "what passed while agents started was not missed", task: waitingFor(under(1, second), time.Minute),
			own: stand(2, 2*time.Minute), now: 130 * time.Second, agents: "created",
			want: glance{History: []string{"2 ongoing 2m0s"}, Done: 1, Begin: "u/1/2", Deadline: 3 * time.Minute,
				Events:     []string{"AgentsCreated", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", allThere)}},
		{name: "an edit of the agents waits for the new ones", task: func() Task {
			t := withAgents(under(1, second), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0)
			t.Generation, t.Revision = 2, "two"
			return t
		}(), own: justMade(), now: 70 * time.Second, agents: "creating",
			want: glance{After: agentsPoll, Events: []string{"AgentsStarting"},
				Conditions: agentsConditions(accepted, starting, none, onTime, notYet)}},
		{name: "an edit of something else goes on with the agents that are there", task: func() Task {
			t := withAgents(under(1, second), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0)
			t.Generation, t.Revision = 2, "two"
			return t
		}(), own: stand(2, 0), now: 70 * time.Second, agents: "created",
			want: glance{History: []string{"1 ongoing 1m10s"}, Begin: "u/2/1", Deadline: 130 * time.Second,
				Events:     []string{"RoundStarted"},
				Conditions: agentsConditions(accepted, started, none, onTime, allThere)}},
		{name: "agents that the API server refuses are said so, and tried again", task: privately(minutely()),
			own: agentState{step: ensure, refused: refusal()}, now: time.Second,
			want: glance{After: agentsRetry, Events: []string{"AgentsNotMade"},
				Conditions: agentsConditions("False AgentsNotMade", "False NotReady", none, onTime, "")}},
		{name: "agents of a task that has finished stay a while",
			task: finished(withAgents(under(3, record(3, v1beta1.RecordSucceed, 0)), runtimeCreated,
				metav1.ConditionTrue, AgentsCreated, 0), at(0)), now: 4 * time.Minute, agents: "created",
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true, After: 6 * time.Minute,
				Conditions: agentsConditions(accepted, "False Finished", "", "", allThere)}},
		{name: "then they are removed",
			task: finished(withAgents(under(3, record(3, v1beta1.RecordSucceed, 0)), runtimeCreated,
				metav1.ConditionTrue, AgentsCreated, 0), at(0)), own: agentState{step: remove}, now: 10 * time.Minute,
			agents: "deleted",
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true, Events: []string{"AgentsRemoved"},
				Conditions: agentsConditions(accepted, "False Finished", "", "", gone)}},
		{name: "and nothing more happens",
			task: finished(withAgents(under(3, record(3, v1beta1.RecordSucceed, 0)), runtimeDeleted,
				metav1.ConditionFalse, AgentsRemoved, 0), at(0)), now: time.Hour, agents: "deleted",
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true,
				Conditions: agentsConditions(accepted, "False Finished", "", "", gone)}},
		{name: "a token on a task whose agents are gone waits for new ones", task: func() Task {
			t := finished(withAgents(under(3, record(3, v1beta1.RecordSucceed, 0)), runtimeDeleted,
				metav1.ConditionFalse, AgentsRemoved, 0), at(0))
			t.RunNow = "a"
			return t
		}(), own: justMade(), now: time.Hour, agents: "creating",
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true, After: agentsPoll,
				Events: []string{"AgentsStarting"}, Conditions: agentsConditions(accepted, starting, "", "", notYet)}},
		{name: "and is obeyed once they are there", task: func() Task {
			t := finished(waitingFor(under(3, record(3, v1beta1.RecordSucceed, 0)), time.Hour), at(0))
			t.RunNow = "a"
			return t
		}(), own: stand(2, time.Hour), now: time.Hour + 10*time.Second, agents: "created",
			want: glance{History: []string{"4 ongoing 1h0m10s", "3 succeed 0s"}, Done: 3, Begin: "u/1/4",
				Deadline:   time.Hour + 70*time.Second,
				Events:     []string{"AgentsCreated", "RunNowAccepted", "RoundStarted"},
				Conditions: agentsConditions(accepted, started, "", "", allThere)}},
		{name: "a task that no longer wants agents of its own runs on the default ones", task: func() Task {
			t := withAgents(under(1, second), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0)
			t.Generation, t.Revision, t.OwnAgents = 2, "two", nil
			return t
		}(), own: agentState{step: remove}, now: 70 * time.Second, agents: "created",
			want: glance{History: []string{"1 ongoing 1m10s"}, Begin: "u/2/1", Deadline: 130 * time.Second,
				Events: []string{"RoundStarted"}, Conditions: agentsConditions(accepted, started, none, onTime, "")}},
	}
}

func TestDecideOnAgentsOfATasksOwn(t *testing.T) {
	for _, c := range agentsCases() {
		t.Run(c.name, func(t *testing.T) {
			in := state{task: c.task, workload: workloadOf(c.task, standard()), own: c.own, now: created().Add(c.now)}
			d := decide(in)
			if diff := cmp.Diff(c.want, glanceAt(d)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if got := value(d.status.Resource).RuntimeStatus; got != c.agents {
				t.Errorf("the agents are %q, want %q", got, c.agents)
			}
			in.task.Status, in.running, in.own.standing.Made = d.status, schedule.Key{}, false
			if d.begin != (schedule.Key{}) {
				in.running = d.begin
			}
			in.own.step = stepOf(in.task, standard(), in.now)
			again := decide(in)
			if diff := cmp.Diff(d.status, again.status); diff != "" || len(again.events) != 0 {
				t.Errorf("the same state decided again changes the status or tells %v again:\n%s", again.events, diff)
			}
		})
	}
}

func TestWhatIsDueForAgentsOfATasksOwn(t *testing.T) {
	change := func(t Task, change func(*Task)) Task { change(&t); return t }
	done := func(more func(*Task)) Task {
		return change(finished(withAgents(under(3), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0), at(0)),
			more)
	}
	nothing := func(*Task) {}
	const before, after = 10*time.Minute - time.Second, 10 * time.Minute
	cases := []struct {
		name string
		task Task
		now  time.Duration
		want step
	}{
		{"nothing for a task on the default agents", under(1), 0, noop},
		{"nothing for a new task on the default agents", minutely(), 0, noop},
		{"a new task has its agents made", privately(minutely()), 0, ensure},
		{"a task that runs has them looked after",
			withAgents(under(1), runtimeCreated, metav1.ConditionTrue, AgentsCreated, 0), 0, ensure},
		{"nothing is changed under a round",
			withAgents(under(0, record(1, v1beta1.RecordOngoing, 0)), runtimeCreated, metav1.ConditionTrue,
				AgentsCreated, 0), 0, noop},
		{"an edit takes the agents from under a round of the old spec",
			change(withAgents(under(0, record(1, v1beta1.RecordOngoing, 0)), runtimeCreated, metav1.ConditionTrue,
				AgentsCreated, 0),
				func(t *Task) { t.Generation, t.Revision = 2, "two" }), 0, ensure},
		{"no agents are made for a schedule that cannot be read",
			change(privately(minutely()), func(t *Task) { t.Schedule = "soon" }), 0, noop},
		{"a finished task keeps them for its grace period", done(nothing), before, noop},
		{"and not longer", done(nothing), after, remove},
		{"without a grace period they go at once", done(func(t *Task) {
			zero := int64(0)
			t.OwnAgents = &v1beta1.AgentSpec{TerminationGracePeriodMinutes: &zero}
		}), 0, remove},
		{"without a word about it the grace period is an hour",
			done(func(t *Task) { t.OwnAgents = &v1beta1.AgentSpec{} }), after, noop},
		{"what is removed is not removed again",
			done(func(t *Task) { t.Status.Resource.RuntimeStatus = runtimeDeleted }), after, noop},
		{"a new token makes them again", done(func(t *Task) { t.RunNow = "a" }), after, ensure},
		{"a token that was obeyed does not", done(func(t *Task) { t.RunNow, t.Status.LastRunNow = "a", "a" }), after,
			remove},
		{"an edited task has them made again", done(func(t *Task) { t.Generation, t.Revision = 2, "two" }), after, ensure},
		{"a task that no longer wants them has them removed", done(func(t *Task) { t.OwnAgents = nil }), 0, remove},
		{"a task that is being deleted has its owner's references do it", done(func(t *Task) { t.Deleting = true }),
			after, noop},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := stepOf(c.task, standard(), created().Add(c.now)); got != c.want {
				t.Errorf("step %d, want %d", got, c.want)
			}
		})
	}
}

func TestATaskOnAgentsOfItsOwnFromStartToRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task, grace := netReach("u"), int64(1)
		yes := true
		task.Spec.AgentSpec, task.Spec.Target.Ingress = &v1beta1.AgentSpec{TerminationGracePeriodMinutes: &grace}, &yes
		s := newStage(t, task)
		s.agents.standing = workload.RolloutStatus{Made: true, Wanted: 1}
		if result := s.reconcile(t); result.RequeueAfter != agentsPoll {
			t.Errorf("looked at again after %v, want %v", result.RequeueAfter, agentsPoll)
		}
		if status := s.task(t).Status; len(s.runs) != 0 || len(status.History) != 0 ||
			status.Resource.RuntimeStatus != runtimeCreating {
			t.Fatalf("rounds %v, status %+v; want none before the agents are there", s.runs, status)
		}
		if of := s.agents.wish.Task; of != (workload.Task{Kind: "NetReach", Name: "task", UID: "u"}) {
			t.Errorf("the agents are those of %+v, want the task", of)
		}
		s.agents.standing = workload.RolloutStatus{Wanted: 1, Ready: 1, Whole: true, Since: time.Now()}
		time.Sleep(agentsSettle + time.Second)
		s.reconcile(t)
		time.Sleep(roundTakes + time.Second)
		synctest.Wait()
		want := topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-netreach-task",
			Ingress:  "kdoctor-netreach-task-ipv4",
			Services: []string{"kdoctor-netreach-task-ipv4", "kdoctor-netreach-task-ipv6"}}
		if diff := cmp.Diff([]topology.Workload{want}, s.ran); diff != "" {
			t.Errorf("the round ran on (-want +got):\n%s", diff)
		}
		if result := s.reconcile(t); result.RequeueAfter < 50*time.Second || result.RequeueAfter > time.Minute {
			t.Errorf("after its end the task is looked at again after %v, want the rest of a minute",
				result.RequeueAfter)
		}
		time.Sleep(time.Minute)
		s.reconcile(t)
		s.reconcile(t)
		status := s.task(t).Status
		if !status.Finish || status.Resource.RuntimeStatus != runtimeDeleted ||
			*status.Resource.ServiceNameV4 != "kdoctor-netreach-task-ipv4" {
			t.Errorf("status %+v, want finished and the agents deleted", status)
		}
		const name = " kdoctor-netreach-task"
		if diff := cmp.Diff([]string{"ensure" + name, "ensure" + name, "remove" + name}, s.agents.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestAgentsThatCannotBeMadeAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := netReach("u")
		task.Spec.AgentSpec = &v1beta1.AgentSpec{}
		s := newStage(t, task)
		s.agents.err = refusal()
		if result := s.reconcile(t); result.RequeueAfter != agentsRetry {
			t.Errorf("tried again after %v, want %v", result.RequeueAfter, agentsRetry)
		}
		c := meta.FindStatusCondition(s.task(t).Status.Conditions, Ready)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != AgentsNotMade {
			t.Errorf("condition %+v, want it to say that the agents were not made", c)
		}
		s.agents.err = nil
		s.agents.standing = workload.RolloutStatus{Made: true, Wanted: 1}
		s.reconcile(t)
		if c := meta.FindStatusCondition(s.task(t).Status.Conditions, Ready); c.Status != metav1.ConditionTrue {
			t.Errorf("condition %+v, want it true once they could be made", c)
		}
		s.agents.err = errors.New("the connection broke")
		if _, err := s.Reconcile(t.Context(), requestFor("task")); err == nil {
			t.Error("an error that may be gone with the next try is not returned")
		}
	})
}

func TestARestartedControllerTakesUpTheRoundOnTheTasksOwnAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := netReach("u")
		task.Spec.AgentSpec = &v1beta1.AgentSpec{}
		s := newStage(t, task)
		s.agents.standing = workload.RolloutStatus{Made: true, Wanted: 1}
		s.reconcile(t)
		time.Sleep(agentsLimit)
		s.reconcile(t)
		time.Sleep(time.Second)
		next := newStage(t, s.task(t))
		next.reconcile(t)
		time.Sleep(roundTakes + time.Second)
		synctest.Wait()
		if len(next.runs) != 1 || next.runs[0] != s.runs[0] || next.ran[0].Name != "kdoctor-netreach-task" {
			t.Errorf("the next controller ran %v on %v, want %v on the same agents", next.runs, next.ran, s.runs)
		}
	})
}
