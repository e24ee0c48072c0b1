package inventory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// policyScope is what selectors of policies are matched with.
type policyScope struct {
	// namespace is the agents' namespace, labels returns its labels, and groups has the labels of each group of pods.
	namespace string
	labels    func() labels.Set
	groups    []labels.Set
	// dns is the namespace of the DNS servers; empty where it is not known.
	dns string
}

// scopeOf returns the scope of the pods, and to which group each pod belongs that is not in the host network. The
// labels of the namespace are read when a selector asks for them.
func (i *Inventory) scopeOf(ctx context.Context, pods []corev1.Pod) (*policyScope, map[string]int) {
	s := &policyScope{namespace: i.namespace, dns: i.ladder.DNSNamespace,
		labels: sync.OnceValue(func() labels.Set { return i.namespaceLabels(ctx) })}
	groups, known := map[string]int{}, map[string]int{}
	for n := range pods {
		if pods[n].Spec.HostNetwork {
			continue
		}
		text := labels.FormatLabels(pods[n].Labels)
		group, has := known[text]
		if !has {
			group = len(s.groups)
			known[text] = group
			s.groups = append(s.groups, pods[n].Labels)
		}
		groups[pods[n].Name] = group
	}
	return s, groups
}

// namespaceLabels returns the labels of the agents' namespace. Where they cannot be read, it has the label that every
// namespace has.
func (i *Inventory) namespaceLabels(ctx context.Context) labels.Set {
	var list corev1.NamespaceList
	// The controller may list its own namespace alone.
	err := i.reader.List(ctx, &list, client.MatchingFields{"metadata.name": i.namespace})
	if err == nil && len(list.Items) == 1 && list.Items[0].Name == i.namespace {
		return list.Items[0].Labels
	}
	return labels.Set{corev1.LabelMetadataName: i.namespace}
}

// pods returns the pods that the selector selects, all for nil, in the namespaces that the other one selects; nil is
// the agents' namespace.
func (s *policyScope) pods(namespaces, pods *metav1.LabelSelector) (topology.PolicyPeer, error) {
	peer := topology.PolicyPeer{Kind: topology.PeerPods, Others: s.dns == "" || s.dns == s.namespace}
	within := true
	if namespaces != nil {
		selector, err := metav1.LabelSelectorAsSelector(namespaces)
		if err != nil {
			return peer, fmt.Errorf("read a selector of namespaces: %w", err)
		}
		within, peer.Others = selector.Matches(s.labels()), s.dns == "" || !leavesOut(selector, s.dns)
	}
	chosen := labels.Everything()
	if pods != nil {
		var err error
		if chosen, err = metav1.LabelSelectorAsSelector(pods); err != nil {
			return peer, fmt.Errorf("read a selector of pods: %w", err)
		}
	}
	for group, set := range s.groups {
		if within && chosen.Matches(set) {
			peer.Groups = append(peer.Groups, group)
		}
	}
	return peer, nil
}

// leavesOut reports whether the selector certainly leaves out the namespace, of which no label but its name is known.
func leavesOut(selector labels.Selector, namespace string) bool {
	requirements, _ := selector.Requirements()
	name := labels.Set{corev1.LabelMetadataName: namespace}
	return slices.ContainsFunc(requirements, func(r labels.Requirement) bool {
		return r.Key() == corev1.LabelMetadataName && !r.Matches(name)
	})
}
