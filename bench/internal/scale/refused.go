package scale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// Refused is what was seen of a task whose plan cannot fit: it wants every pair in every round, and an agent may not
// send a request for each.
type Refused struct {
	// Why is what the task's status says.
	Why string `json:"Why"`
	// Agents is how many agents began the round all the same.
	Agents int `json:"Agents"`
}

// Told reports whether the status says that nothing was sent.
func (r Refused) Told() bool { return strings.Contains(r.Why, "nothing was sent") }

// canRefuse reports whether there are so many nodes that every pair is too much for one round.
func canRefuse(nodes int) bool {
	request := taskOf(nodes, fleet.Healthy).Spec.Request
	return 2*nodes+1 > mostPerAgent(nodes)*int(request.DurationInSecond)
}

// refused makes the task and waits for its end.
func (b *bed) refused(ctx context.Context) (Result, error) {
	r := Result{Nodes: b.options.Nodes, Fault: fleet.Healthy, Refused: &Refused{}}
	task := taskOf(b.options.Nodes, fleet.Healthy)
	task.Name = "scale-refused"
	task.Spec.Target = &v1beta1.NetReachTarget{Mesh: v1beta1.MeshFull}
	began := time.Now()
	if err := b.cluster.api.Create(ctx, task); err != nil {
		return r, fmt.Errorf("make the task: %w", err)
	}
	defer func() { _ = b.cluster.api.Delete(context.WithoutCancel(ctx), task) }()
	bounded, cancel := context.WithTimeout(ctx, b.options.Limit)
	defer cancel()
	err := until(bounded, func() error {
		if err := b.cluster.api.Get(bounded, client.ObjectKeyFromObject(task), task); err != nil {
			return err
		}
		at := slices.IndexFunc(task.Status.History, func(h v1beta1.Record) bool { return h.RoundNumber == 1 })
		if at < 0 || task.Status.History[at].EndTimeStamp == nil {
			return errOngoing
		}
		r.Outcome, r.Refused.Why = string(task.Status.History[at].Status), task.Status.History[at].FailureReason
		return nil
	})
	r.Took = since(began, time.Now())
	if err != nil {
		r.Lost = err.Error()
	}
	b.agentsOf(ctx, task, &r)
	r.Refused.Agents = r.Agents
	return r, ctx.Err()
}
