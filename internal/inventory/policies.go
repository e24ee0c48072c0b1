package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// policyGroup is the API group of policies of the whole cluster, which not every cluster has.
	policyGroup = "policy.networking.k8s.io"
	// lookAgain is how long a kind that is not there, or may not be read, is not asked for.
	lookAgain = 10 * time.Minute
)

// clusterKind is a kind of policies of the whole cluster.
type clusterKind struct {
	kind, plural string
	// versions are tried in this order.
	versions []string
	policy   func(s *policyScope, object map[string]any) (topology.Policy, error)
}

func clusterKinds() []clusterKind {
	return []clusterKind{
		{"ClusterNetworkPolicy", "clusternetworkpolicies", []string{"v1alpha2", "v1beta1"},
			(*policyScope).clusterNetworkPolicy},
		{"AdminNetworkPolicy", "adminnetworkpolicies", []string{"v1alpha1"},
			(*policyScope).adminNetworkPolicy},
		{"BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", []string{"v1alpha1"},
			(*policyScope).baselineNetworkPolicy},
	}
}

// silentKinds remembers the kinds of policies that are not there or may not be read. The zero value knows of none.
type silentKinds struct {
	mu sync.Mutex
	// until is when a kind is asked for again, why the clause about a kind that may not be read.
	until map[string]time.Time
	why   map[string]string
	// said has the kinds of which the log tells already.
	said map[string]bool
}

// silent reports whether the kind is not to be asked for now, and why as one clause: empty for one that is not there.
func (k *silentKinds) silent(plural string) (why string, silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.why[plural], time.Now().Before(k.until[plural])
}

// note remembers what came of asking for the kind: no error, that it is not there, or that it may not be read. It
// returns what is to be said of it as one clause, and whether that is new.
func (k *silentKinds) note(plural string, err error) (why string, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until, k.why, k.said = map[string]time.Time{}, map[string]string{}, map[string]bool{}
	}
	delete(k.until, plural)
	delete(k.why, plural)
	switch {
	case err == nil:
		delete(k.said, plural)
		return "", false
	case absent(err):
		k.until[plural] = time.Now().Add(lookAgain)
		return "", false
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		why = "the controller may not list " + plural
		k.until[plural], k.why[plural] = time.Now().Add(lookAgain), why
	default:
		why = fmt.Sprintf("%s could not be listed: %v", plural, err)
	}
	fresh = !k.said[plural]
	k.said[plural] = true
	return why, fresh
}

// absent reports whether the API server does not have the kind.
func absent(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// addPolicies adds the objects that restrict the traffic of the agents' pods. Where they cannot be read, the snapshot
// says so and goes on: they only explain what probes show.
func (i *Inventory) addPolicies(ctx context.Context, snapshot *topology.Snapshot, pods []corev1.Pod) {
	if len(pods) == 0 {
		return
	}
	scope, groups := i.scopeOf(ctx, pods)
	all := &snapshot.Policies
	all.Read = i.readKind(ctx, all, "networkpolicies.networking.k8s.io", func() error {
		var list networkingv1.NetworkPolicyList
		if err := i.reader.List(ctx, &list, client.InNamespace(i.namespace), client.Limit(pageSize)); err != nil {
			return fmt.Errorf("list network policies: %w", err)
		}
		for n := range list.Items {
			p, err := scope.networkPolicy(&list.Items[n])
			all.Objects = appendPolicy(all.Objects, p, err)
		}
		all.Omitted += further(&list)
		return nil
	})
	for _, kind := range clusterKinds() {
		i.readKind(ctx, all, kind.plural+"."+policyGroup, func() error { return i.listKind(ctx, kind, scope, all) })
	}
	if keepSelecting(all); len(all.Objects) > 0 {
		all.Groups = groups
	}
}

// appendPolicy appends what an object says. An object that cannot be read is left out: the API server refuses such
// objects.
func appendPolicy(all []topology.Policy, p topology.Policy, err error) []topology.Policy {
	if err != nil {
		return all
	}
	return append(all, p)
}

// readKind reads a kind unless it is known not to be there or not to be readable, and reports whether it was read. What
// keeps it from being read is said in the snapshot, and once in the log.
func (i *Inventory) readKind(ctx context.Context, all *topology.Policies, plural string, read func() error) bool {
	if why, silent := i.policies.silent(plural); silent {
		if why != "" {
			all.Unread = append(all.Unread, why)
		}
		return false
	}
	err := read()
	why, fresh := i.policies.note(plural, err)
	if why != "" {
		all.Unread = append(all.Unread, why)
	}
	if fresh {
		logr.FromContextOrDiscard(ctx).Info("policies cannot be read: findings will not name them", "why", why)
	}
	return err == nil
}

// listKind adds the objects of a kind of the whole cluster, in the first version that the API server has.
func (i *Inventory) listKind(ctx context.Context, kind clusterKind, scope *policyScope,
	all *topology.Policies) error {
	var err error
	for _, version := range kind.versions {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: policyGroup, Version: version,
			Kind: kind.kind + "List"})
		if err = i.reader.List(ctx, list, client.Limit(pageSize)); err == nil {
			for n := range list.Items {
				p, err := kind.policy(scope, list.Items[n].Object)
				all.Objects = appendPolicy(all.Objects, p, err)
			}
			all.Omitted += further(list)
			return nil
		}
		if !absent(err) {
			break
		}
	}
	return fmt.Errorf("list %s: %w", kind.plural, err)
}

// further is how many objects are not in the page, at least one where there is a further page.
func further(page client.ObjectList) int {
	if page.GetContinue() == "" {
		return 0
	}
	if left := page.GetRemainingItemCount(); left != nil {
		return max(1, int(*left))
	}
	return 1
}

// keepSelecting leaves the objects that restrict agents' pods, sorted, and no more than a snapshot may have.
func keepSelecting(all *topology.Policies) {
	all.Objects = slices.DeleteFunc(all.Objects, func(p topology.Policy) bool { return len(p.Groups) == 0 })
	slices.SortFunc(all.Objects, func(a, b topology.Policy) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Name, b.Name))
	})
	if more := len(all.Objects) - topology.MostPolicies; more > 0 {
		all.Objects, all.Omitted = slices.Clip(all.Objects[:topology.MostPolicies]), all.Omitted+more
	}
}
