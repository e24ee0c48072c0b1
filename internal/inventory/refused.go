package inventory

import (
	"context"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// refusedWithin is how long ago a refusal counts: the DaemonSet's controller waits up to 17 minutes between two
	// tries.
	refusedWithin = 20 * time.Minute
	// mostEvents bounds how many events are read.
	mostEvents = 50
)

// explain adds to agents without a pod why the API server refused one, such as for a quota, a Pod Security Standard or
// an admission webhook. Where nobody knows, the agents stay as they are: the error of a question that only explains is
// of no concern.
func (i *Inventory) explain(ctx context.Context, wanted workload, agents []topology.Agent, now time.Time) {
	why := ""
	for n := range agents {
		if agents[n].UID != "" {
			continue
		}
		if why == "" {
			if why = i.refusal(ctx, wanted, now); why == "" {
				return
			}
		}
		agents[n].NotReady += "; the last one was refused: " + why
	}
}

// refusal returns in the API server's words why it refused a pod of the workload last; empty when it did not.
func (i *Inventory) refusal(ctx context.Context, wanted workload, now time.Time) string {
	if wanted.kind == topology.Deployment {
		return short(wanted.refused)
	}
	var events corev1.EventList
	// The selector narrows the search; the check below decides.
	err := i.reader.List(ctx, &events, client.InNamespace(i.namespace), client.Limit(mostEvents),
		client.MatchingFieldsSelector{Selector: fields.Set{"involvedObject.uid": string(wanted.uid),
			"reason": "FailedCreate"}.AsSelector()})
	if err != nil {
		return ""
	}
	var last corev1.Event
	for _, e := range events.Items {
		if e.InvolvedObject.UID == wanted.uid && e.Reason == "FailedCreate" && timeOf(e).After(timeOf(last)) {
			last = e
		}
	}
	if now.Sub(timeOf(last)) > refusedWithin {
		return ""
	}
	return short(strings.TrimPrefix(last.Message, "Error creating: "))
}

// timeOf is when an event happened last.
func timeOf(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

// refusedBy returns why a Deployment has fewer pods than it wants, in the API server's words.
func refusedBy(d appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return c.Message
		}
	}
	return ""
}
