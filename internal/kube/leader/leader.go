// Package leader marks the pod of the controller that leads. The Service of the aggregated API selects the mark, so
// readers see the reports of the replica that runs rounds, while every replica is ready for rollouts and drains.
package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Label is the mark. No other pod of the namespace has it.
	Label = "kdoctor.io/leader"
	// Marked is the label's value.
	Marked = "true"
)

const (
	// soon is the pause after a failure, every the pause after a success. A mark that somebody else sets or removes is
	// put right then.
	soon  = time.Second
	every = 20 * time.Second
	// callWithin bounds one call to the API server, which may hang.
	callWithin = 3 * time.Second
)

// Mark marks a pod and takes the mark from all others, for as long as the replica leads. The zero value of Pod marks
// nothing.
type Mark struct {
	// Client reads and patches pods without a cache.
	Client client.Client
	// Namespace holds the pod, and Pod is its name.
	Namespace, Pod string
}

// NeedLeaderElection is true: the mark is the leader's.
func (*Mark) NeedLeaderElection() bool { return true }

// Start sets the mark at once, and looks after it until the context is over. The mark stays then: the next leader takes
// it away, and until there is one readers are served here.
func (m *Mark) Start(ctx context.Context) error {
	if m.Pod == "" {
		return nil
	}
	log := logr.FromContextOrDiscard(ctx)
	for {
		pause := every
		if err := m.Set(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "cannot lead the aggregated API's Service to this pod; will try again", "after", soon)
			pause = soon
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Set marks the pod first and takes the mark from the others then, so that there is no moment without a marked pod. A
// pod of a dead node loses its mark too: that needs nothing of the node.
func (m *Mark) Set(ctx context.Context) error {
	marked, err := m.marked(ctx)
	if err != nil {
		return err
	}
	if !marked[m.Pod] {
		if err := m.patch(ctx, m.Pod, `"`+Marked+`"`); err != nil {
			return err
		}
	}
	var errs []error
	for name := range marked {
		if name != m.Pod {
			errs = append(errs, m.patch(ctx, name, "null"))
		}
	}
	return errors.Join(errs...)
}

// marked returns the names of the pods that have the mark.
func (m *Mark) marked(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	var pods metav1.PartialObjectMetadataList
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := m.Client.List(ctx, &pods, client.InNamespace(m.Namespace), client.MatchingLabels{Label: Marked})
	if err != nil {
		return nil, fmt.Errorf("list the pods with the label %s: %w", Label, err)
	}
	names := map[string]bool{}
	for _, pod := range pods.Items {
		names[pod.Name] = true
	}
	return names, nil
}

// patch sets the label to a value in JSON. A pod that is gone needs no mark to be taken away.
func (m *Mark) patch(ctx context.Context, name, value string) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	pod := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: name}}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, Label, value)
	err := m.Client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, body))
	if name != m.Pod {
		err = client.IgnoreNotFound(err)
	}
	if err != nil {
		return fmt.Errorf("set the label %s of pod %s to %s: %w", Label, name, value, err)
	}
	return nil
}
