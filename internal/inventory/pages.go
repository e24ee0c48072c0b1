package inventory

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// pageSize is how many objects one answer of the API server has at most. A node has some 11 kB: a whole list of
	// thousands would take more memory than all that is read from it.
	pageSize = 500
	// pagedTries is how often a list is begun page by page before it is read in one answer.
	pagedTries = 3
)

// listNodes lists all nodes, with no more of each than slimNode keeps.
func listNodes(ctx context.Context, reader client.Reader) ([]corev1.Node, error) {
	marks := nodeAnnotations()
	return listAll(ctx, reader, func(page *corev1.NodeList, all []corev1.Node) []corev1.Node {
		for i := range page.Items {
			all = append(all, slimNode(&page.Items[i], marks))
		}
		return all
	})
}

// listPods lists the pods that the options select, with no more of each than slimPod keeps.
func listPods(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]corev1.Pod, error) {
	return listAll(ctx, reader, func(page *corev1.PodList, all []corev1.Pod) []corev1.Pod {
		for i := range page.Items {
			all = append(all, slimPod(&page.Items[i]))
		}
		return all
	}, options...)
}

// listAll lists all objects that the options select, page by page, as they were when the first page was read. Where the
// API server no longer knows that state for a later page, the list begins again: what is left of it by the newest state
// would miss objects, or have them twice. add appends what is needed of a page.
func listAll[L any, P interface {
	*L
	client.ObjectList
}, T any](ctx context.Context, reader client.Reader, add func(page P, all []T) []T,
	options ...client.ListOption) ([]T, error) {
	options = append(options, client.Limit(pageSize))
	for tries := 1; ; tries++ {
		var all []T
		token, err := "", error(nil)
		for first := true; err == nil && (first || token != ""); first = false {
			page := P(new(L))
			err = reader.List(ctx, page, append(options[:len(options):len(options)], client.Continue(token))...)
			token, all = page.GetContinue(), add(page, all)
		}
		if err == nil {
			return all, nil
		}
		if !apierrors.IsResourceExpired(err) || tries > pagedTries {
			return nil, err
		}
		if tries == pagedTries {
			options = append(options, client.Limit(0))
		}
	}
}
