package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// How long rounds wait for agents of the task's own. A node that is broken must not keep the others from being tested.
const (
	// agentsSettle is how long all agents have to be ready, so that every node knows the way to them through their
	// Services.
	agentsSettle = 5 * time.Second
	// agentsSome is after how long some are enough, agentsLimit after how long none is waited for any more.
	agentsSome  = 60 * time.Second
	agentsLimit = 120 * time.Second
	// agentsPoll is how often they are looked at, agentsRetry how often it is tried again to make them.
	agentsPoll  = 2 * time.Second
	agentsRetry = 15 * time.Second
	// defaultGrace is how long they stay after the end of the task.
	defaultGrace = 60 * time.Minute
)

// Where a workload stands, as the status tells it.
const (
	runtimeCreating = "creating"
	runtimeCreated  = "created"
	runtimeDeleted  = "deleted"
)

// Agents are the default agents, those of tasks' own, and what stands in front of both.
type Agents interface {
	// Standard names the default agents; the error is workload.ErrNotYet as long as what is in front of them is not
	// there.
	Standard(ctx context.Context) (topology.Workload, error)
	// Ensure makes agents of a task's own what the wish says, as far as they are not, and tells how they stand.
	Ensure(ctx context.Context, wish workload.DesiredAgents) (workload.RolloutStatus, error)
	// Remove deletes them and all that stands in front of them.
	Remove(ctx context.Context, wish workload.DesiredAgents) error
	// EnsureStandard makes what is asked for in front of the default agents, and tells which addresses are missing.
	EnsureStandard(ctx context.Context, want workload.Demand) (workload.RolloutStatus, error)
}

// step is what is to be done about agents of the task's own, before the decision about its rounds.
type step int

const (
	// noop does nothing: the task has none, or a round is under way, or it has finished and they may stay a while.
	noop step = iota
	ensure
	remove
	// ensureFront makes what the task asks for in front of the default agents.
	ensureFront
)

// agentState is what came of the step: how the agents stand, or why the API server will not have them.
type agentState struct {
	step     step
	standing workload.RolloutStatus
	refused  error
}

// specChanged reports whether the task was edited since the status was written, or has no status yet. Only an edit
// changes the generation: a release whose CRD has one more default changes what is read of every task, and with it the
// revision, while nobody edited anything. The revision tells an edit of the suspension alone from others.
func specChanged(t Task) bool {
	s := t.Status
	return s.ObservedGeneration == 0 || s.ObservedGeneration != t.Generation && s.Revision != t.Revision
}

// grace is how long agents of the task's own stay after its end.
func grace(t Task) time.Duration {
	if t.OwnAgents == nil || t.OwnAgents.TerminationGracePeriodMinutes == nil {
		return defaultGrace
	}
	return time.Duration(*t.OwnAgents.TerminationGracePeriodMinutes) * time.Minute
}

// stepOf decides what is to be done about agents of the task's own. Removing goes before the status is written, so that
// no crash can leave agents behind that no status tells of.
func stepOf(task Task, standard topology.Workload, now time.Time) step {
	before := task.Status.Resource
	asked := task.RunNow != "" && task.RunNow != task.Status.LastRunNow
	switch {
	case task.Deleting:
		// Their owner goes, and they go with it.
		return noop
	case task.OwnAgents == nil:
		if before != nil && before.RuntimeName != standard.Name && before.RuntimeStatus != runtimeDeleted {
			return remove
		}
		if demandOf(task, standard).Nothing() || !understood(task) || underWay(task) && !specChanged(task) ||
			task.Status.Finish && !specChanged(task) && !asked {
			return noop
		}
		return ensureFront
	case !understood(task):
		return noop
	case underWay(task) && !specChanged(task):
		// What the agents measure would be of two makes.
		return noop
	case !task.Status.Finish || specChanged(task) || asked:
		return ensure
	case before == nil || before.RuntimeStatus == runtimeDeleted ||
		now.Before(value(task.Status.FinishTime).Add(grace(task))):
		return noop
	}
	return remove
}

// demandOf is what the task asks for in front of the default agents, as far as the installation may have it.
func demandOf(t Task, standard topology.Workload) (d workload.Demand) {
	if t.OwnAgents != nil {
		return d
	}
	if standard.NoLoadBalancer == "" && slices.Contains(t.Want.Kinds, target.LoadBalancer) {
		d.LoadBalancer = t.Want.Families
	}
	d.Ingress = standard.NoIngress == "" && slices.Contains(t.Want.Kinds, target.Ingress)
	return d
}

// underWay reports whether the newest round has begun and is not over.
func underWay(t Task) bool {
	return len(t.Status.History) > 0 && t.Status.History[0].Status == v1beta1.RecordOngoing
}

// understood reports whether the task has a schedule that can be read: for any other no agents are made.
func understood(t Task) bool {
	_, err := t.Timetable()
	return err == nil
}

// workload is what runs the task's agents: the default agents' workload or one of the task's own.
func workloadOf(t Task, standard topology.Workload) topology.Workload {
	if t.OwnAgents == nil {
		return standard
	}
	return privateWorkload(t, standard)
}

// private names the workload of the task's own, whether there is one or not.
func privateWorkload(t Task, standard topology.Workload) topology.Workload {
	return workload.Names(t.Kind, t.Name, value(t.OwnAgents).Kind, standard,
		slices.Contains(t.Want.Kinds, target.Ingress))
}

// resourceOf is a workload as the status shows it.
func resourceOf(of topology.Workload, status string) *v1beta1.TaskResource {
	r := &v1beta1.TaskResource{RuntimeName: of.Name, RuntimeType: of.Kind, RuntimeStatus: status}
	for _, name := range of.Services {
		if workload.FamilyOf(name) == topology.IPv6 {
			r.ServiceNameV6 = &name
			continue
		}
		r.ServiceNameV4 = &name
	}
	return r
}

// recordAgentState notes how the task's own agents stand and holds the rounds back as long as they are not ready.
func (d *decider) recordAgentState() {
	switch {
	case d.own.step == ensureFront:
		d.awaitAddresses()
	case d.task.OwnAgents == nil:
	case d.own.refused != nil:
		d.held, d.after = true, agentsRetry
	case d.own.step == remove:
		d.status.Resource = resourceOf(d.workload, runtimeDeleted)
		d.condition(AgentsReady, metav1.ConditionFalse, AgentsRemoved,
			"The task has finished, and its agents were removed.")
		d.event(normal, AgentsRemoved, "%s %s was removed: the task has finished, and its agents were to stay for %s.",
			d.workload.Kind, d.workload.Name, grace(d.task))
	case d.own.step == ensure:
		d.start()
	}
}

// awaitAddresses holds the rounds back until what stands in front of the default agents has its addresses, and every
// node knows the way to them. What the API server refuses is not waited for: the report says that it is missing.
func (d *decider) awaitAddresses() {
	front := d.own.standing
	switch {
	case d.own.refused != nil:
		d.event(warning, FrontRefused, "%s", short(d.own.refused.Error()))
	case front.Asked.IsZero() || !d.now.Before(front.Asked.Add(agentsLimit)):
	case len(front.Missing) > 0, d.now.Before(front.Since.Add(agentsSettle)):
		d.held, d.after = true, agentsPoll
	}
}

// start follows the agents from their making until rounds may start. What happens to them after that, the rounds tell.
func (d *decider) start() {
	standing := d.own.standing
	if d.startsOver() {
		// The transition of the condition is where the waiting counts from.
		meta.RemoveStatusCondition(&d.status.Conditions, AgentsReady)
		d.wait()
		d.event(normal, AgentsStarting, "%s %s is being made for the task.", d.workload.Kind, d.workload.Name)
		return
	}
	before := meta.FindStatusCondition(d.status.Conditions, AgentsReady)
	isCreated := d.status.Resource.RuntimeStatus == runtimeCreated
	d.status.Resource = resourceOf(d.workload, runtimeCreated)
	switch {
	case before.Status == metav1.ConditionTrue:
	case allReady(standing) && !d.now.Before(standing.Since.Add(agentsSettle)) &&
		!d.now.Before(before.LastTransitionTime.Add(agentsSettle)):
		d.condition(AgentsReady, metav1.ConditionTrue, AgentsCreated,
			fmt.Sprintf("All agents are ready: %d.", standing.Wanted))
		d.event(normal, AgentsCreated, "All agents of %s %s are ready: %d.", d.workload.Kind, d.workload.Name,
			standing.Wanted)
	case isCreated:
		// Rounds run. Once all agents are there the condition says so.
		d.after = agentsRetry
	case quorumReached(standing, d.now.Sub(before.LastTransitionTime.Time)):
		sentence := fmt.Sprintf("Rounds run with what there is: %s.", progress(standing))
		d.condition(AgentsReady, metav1.ConditionFalse, AgentsIncomplete, sentence)
		d.event(warning, AgentsIncomplete, "%s", sentence)
	default:
		d.wait()
	}
}

// startsOver reports whether the agents are to be waited for from now on: they were just made or changed, or the status
// is about others.
func (d *decider) startsOver() bool {
	before := d.status.Resource
	switch {
	case d.own.standing.Made, before == nil, meta.FindStatusCondition(d.status.Conditions, AgentsReady) == nil:
		return true
	case d.fresh && !allReady(d.own.standing):
		return true
	}
	return before.RuntimeName != d.workload.Name || before.RuntimeType != d.workload.Kind ||
		before.RuntimeStatus == runtimeDeleted
}

// wait holds the rounds back.
func (d *decider) wait() {
	d.held, d.after = true, agentsPoll
	d.status.Resource = resourceOf(d.workload, runtimeCreating)
	d.condition(AgentsReady, metav1.ConditionFalse, AgentsStarting,
		fmt.Sprintf("Agents are starting: %s.", progress(d.own.standing)))
}

// allReady reports whether nothing is waited for.
func allReady(s workload.RolloutStatus) bool { return s.Whole && len(s.Missing) == 0 }

// quorumReached reports whether rounds may start without what is not there yet.
func quorumReached(s workload.RolloutStatus, waited time.Duration) bool {
	return waited >= agentsLimit || waited >= agentsSome && s.Ready > 0
}

func progress(s workload.RolloutStatus) string {
	return strings.Join(slices.Concat([]string{fmt.Sprintf("%d of %d are ready", s.Ready, s.Wanted)}, s.Missing), "; ")
}

// scheduleRemoval comes back when the agents of a task that has finished are to go.
func (d *decider) scheduleRemoval() {
	if d.task.OwnAgents == nil || !d.status.Finish || d.held || d.status.Resource == nil ||
		d.status.Resource.RuntimeStatus == runtimeDeleted {
		return
	}
	at := value(d.status.FinishTime).Add(grace(d.task))
	d.after = max(at.Sub(d.now), time.Second)
}

// describeStart puts into words why no round may start.
func (d *decider) describeStart() {
	if d.own.refused != nil {
		d.condition(Progressing, metav1.ConditionFalse, NotReady, "The task cannot run; see the condition Ready.")
		return
	}
	if d.own.step == ensureFront {
		sentence := "Nodes are given time to learn the addresses in front of the agents."
		if missing := d.own.standing.Missing; len(missing) > 0 {
			sentence = fmt.Sprintf("Addresses are waited for: %s.", strings.Join(missing, "; "))
		}
		d.condition(Progressing, metav1.ConditionTrue, AddressesPending, sentence)
		return
	}
	d.condition(Progressing, metav1.ConditionTrue, AgentsStarting,
		fmt.Sprintf("Agents are starting: %s.", progress(d.own.standing)))
}
