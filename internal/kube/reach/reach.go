// Package reach has the leader prove that the API server reaches it. Where the pod network of the leader's own node
// breaks, the leader still renews its lease by the node's network, and nobody can read a report: then it hands the
// lease to a replica on another node.
package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// GaveUp is the annotation of the lease with the moment at which a leader last gave it up because the API server did
// not reach it, in RFC 3339.
const GaveUp = "kdoctor.io/unreachable-leader-gave-up"

const (
	// every is the pause between two questions, soon is that before the first answer: a leader that was never reached
	// cannot tell a broken way from an API server that has not followed it yet.
	every = 3 * time.Second
	soon  = time.Second
	// callWithin bounds one call to the API server.
	callWithin = 2 * time.Second
	// standBack is how long a leader that gave up leaves the lease to others.
	standBack = 10 * time.Second
	// look is the pause between two looks at a lease that others may take.
	look = time.Second
)

// Prover asks for our own API through the API server for as long as the replica leads, and ends the leadership when it
// is out of reach while another replica is ready.
type Prover struct {
	// Ask asks once. It ends with its context, which then counts as no answer.
	Ask func(ctx context.Context) Answer
	// Client reads pods, and reads and writes the lease, without a cache.
	Client client.Client
	// Lease names the leader's lease. Its namespace is that of the replicas' pods.
	Lease client.ObjectKey
	// Pod is this replica's own, and Replicas are the labels of all replicas' pods.
	Pod      string
	Replicas map[string]string
	// Tell is told in one sentence that the leader gives up. It ends with its context.
	Tell func(ctx context.Context, sentence string) error
	// GiveUp ends the leadership as the end of the process does: rounds are handed over, and the lease is given back.
	GiveUp func()
}

// NeedLeaderElection is true: only the leader is behind the Service.
func (*Prover) NeedLeaderElection() bool { return true }

// Start asks until the context is over or the leader gives up.
func (p *Prover) Start(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx)
	ticker := time.NewTicker(soon)
	defer ticker.Stop()
	reign, told := NewReign(time.Now()), ""
	for {
		answer, other := p.question(ctx)
		if answer == Reached && !reign.reached {
			ticker.Reset(every)
		}
		reign.Note(answer, time.Now())
		lost, tooLong := reign.Lost(time.Now())
		if tooLong && ctx.Err() == nil {
			sentence := fmt.Sprintf("the API server has not reached the replica %s for %s", p.Pod,
				lost.Round(time.Second))
			why, err := p.hindrance(ctx, other, reign.Pause())
			switch {
			case err != nil:
				log.Error(err, sentence+"; it goes on leading")
			case why == "":
				sentence += "; the lease goes to the other one"
				log.Info(sentence)
				p.tell(ctx, sentence)
				p.GiveUp()
				return nil
			case why != told:
				log.Info(sentence+"; it goes on leading", "because", why)
				told = why
			}
		}
		if told != "" && answer == Reached {
			log.Info("the API server reaches the replica " + p.Pod + " again")
			told = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// tell tells of it, and gives up all the same where that fails.
func (p *Prover) tell(ctx context.Context, sentence string) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if err := p.Tell(ctx, sentence); err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "tell that the lease is given up")
	}
}

// question asks once. Where there is no answer it returns whether another replica could lead, which the API server has
// to know: one that answers nothing at all says nothing of the way.
func (p *Prover) question(ctx context.Context) (answer Answer, other bool) {
	asking, cancel := context.WithTimeout(ctx, callWithin)
	answer = p.Ask(asking)
	cancel()
	if answer != Unreached {
		return answer, false
	}
	other, err := p.anotherIsReady(ctx)
	if err != nil {
		return Unclear, false
	}
	return Unreached, other
}

// hindrance returns why the leader must not give up, or nothing once the lease says that it does.
func (p *Prover) hindrance(ctx context.Context, other bool, pause time.Duration) (string, error) {
	if !other {
		return "no other replica is ready", nil
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	lease, err := readLease(ctx, p.Client, p.Lease)
	if err != nil {
		return "", err
	}
	now := time.Now()
	// What somebody else wrote there counts as never.
	last, _ := time.Parse(time.RFC3339, lease.GetAnnotations()[GaveUp])
	if !Over(pause, last, now) {
		return fmt.Sprintf("a leader gave up within the last %s already, which did not help", pause), nil
	}
	annotations := lease.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[GaveUp] = now.UTC().Format(time.RFC3339)
	lease.SetAnnotations(annotations)
	if err := p.Client.Update(ctx, lease); err != nil {
		return "", fmt.Errorf("note in the lease that its holder gives it up: %w", err)
	}
	return "", nil
}

// anotherIsReady reports whether another replica could take the lease.
func (p *Prover) anotherIsReady(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	var pods corev1.PodList
	err := p.Client.List(ctx, &pods, client.InNamespace(p.Lease.Namespace), client.MatchingLabels(p.Replicas))
	if err != nil {
		return false, fmt.Errorf("list the replicas: %w", err)
	}
	for _, pod := range pods.Items {
		if pod.Name != p.Pod && pod.DeletionTimestamp == nil && ready(pod) {
			return true, nil
		}
	}
	return false, nil
}

func ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// StandBack returns once somebody holds the lease, at the latest after 10 s. A leader that gave up calls it after the
// lease was given back and before it stands again.
func StandBack(ctx context.Context, reader client.Client, lease client.ObjectKey) {
	ctx, cancel := context.WithTimeout(ctx, standBack)
	defer cancel()
	for ctx.Err() == nil {
		if held(ctx, reader, lease) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(look):
		}
	}
}

func held(ctx context.Context, reader client.Client, key client.ObjectKey) bool {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	lease, err := readLease(ctx, reader, key)
	if err != nil {
		return false
	}
	holder, _, _ := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	return holder != ""
}

func readLease(ctx context.Context, reader client.Client, key client.ObjectKey) (*unstructured.Unstructured, error) {
	lease := &unstructured.Unstructured{}
	lease.SetAPIVersion("coordination.k8s.io/v1")
	lease.SetKind("Lease")
	if err := reader.Get(ctx, key, lease); err != nil {
		return nil, fmt.Errorf("read the leader's lease: %w", err)
	}
	return lease, nil
}
