package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// familiesFor is how long the families of the cluster are remembered, and familiesRetry how long after they could
	// not be read again.
	familiesFor   = 30 * time.Second
	familiesRetry = 5 * time.Second
	// familiesWithin bounds the question for them, which every task waits for.
	familiesWithin = 3 * time.Second
)

// Use is whether an IP family is tested over.
type Use string

// Auto tests over a family that the cluster gives to Services; Yes and No are the installation's own words.
const (
	Auto Use = "auto"
	Yes  Use = "true"
	No   Use = "false"
)

// ErrNotYet is returned, wrapped, by Standard as long as nobody has made the default agents' Services.
var ErrNotYet = errors.New("the Services of the default agents are not made yet")

// Standard names the default agents, with a Service for each IP family of the cluster. The error is ErrNotYet until
// EnsureStandard was called with success, or refused, or an API server's that never told the families; later the last
// answer holds.
func (k *Keeper) Standard(ctx context.Context) (topology.Workload, error) {
	if !k.tried.Load() {
		return topology.Workload{}, ErrNotYet
	}
	return k.standard(ctx)
}

func (k *Keeper) standard(ctx context.Context) (topology.Workload, error) {
	families, err := k.clusterFamilies(ctx)
	if err != nil {
		return topology.Workload{}, err
	}
	standard := k.Manifests.standard(families)
	standard.NoLoadBalancer, standard.NoIngress = k.NoLoadBalancer, k.NoIngress
	return standard, nil
}

// All names the default agents with the Services of both families, which need not be there.
func (k *Keeper) All() topology.Workload {
	return k.Manifests.standard([]topology.Family{topology.IPv4, topology.IPv6})
}

// clusterFamilies are those over which it is tested.
func (k *Keeper) clusterFamilies(ctx context.Context) ([]topology.Family, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); !now.Before(k.ask) {
		found, err := k.readFamilies(ctx)
		switch {
		case err == nil:
			k.families, k.ask = found, now.Add(familiesFor)
		case len(k.families) == 0:
			return nil, fmt.Errorf("read which IP families the cluster gives to Services: %w", err)
		default:
			k.ask = now.Add(familiesRetry)
		}
	}
	return slices.Clone(k.families), nil
}

// readFamilies asks for the families that the API server gave to a Service which prefers all that there are.
func (k *Keeper) readFamilies(ctx context.Context) ([]topology.Family, error) {
	ctx, cancel := context.WithTimeout(ctx, familiesWithin)
	defer cancel()
	var service corev1.Service
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: k.DualStack}, &service)
	if err != nil {
		return nil, err
	}
	has := families(service)
	var used []topology.Family
	for _, each := range []struct {
		family topology.Family
		use    Use
	}{{topology.IPv4, k.IPv4}, {topology.IPv6, k.IPv6}} {
		if each.use == Yes || each.use != No && slices.Contains(has, each.family) {
			used = append(used, each.family)
		}
	}
	if len(used) == 0 {
		return nil, fmt.Errorf("the cluster gives %v to Services, and with IPv4 %s and IPv6 %s none is left to test over",
			has, k.IPv4, k.IPv6)
	}
	return used, nil
}

// EnsureStandard makes the Services of the default agents, and what is asked for in front of them, as far as the
// installation may have it, and tells which addresses are missing. A load balancer or Ingress that somebody else asked
// for stays. It may be called at any time and any number of times.
func (k *Keeper) EnsureStandard(ctx context.Context, want Demand) (RolloutStatus, error) {
	status, err := k.ensureStandard(ctx, want)
	if err == nil || Refused(err) {
		k.tried.Store(true)
	}
	return status, err
}

func (k *Keeper) ensureStandard(ctx context.Context, want Demand) (RolloutStatus, error) {
	seen, err := k.listNamespace(ctx)
	if err != nil {
		return RolloutStatus{}, err
	}
	wanted, err := k.standardFront(ctx, seen, want)
	if err != nil {
		return RolloutStatus{}, err
	}
	var status RolloutStatus
	for _, object := range wanted {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		current := seen.front(kind, object.GetName())
		if current != nil && current.GetDeletionTimestamp() != nil {
			status.Missing = append(status.Missing, fmt.Sprintf("%s %s is being deleted", kind, object.GetName()))
			continue
		}
		applied, changed, err := k.apply(ctx, object, current)
		if err != nil {
			return RolloutStatus{}, err
		}
		status.Made = status.Made || changed
		if want.has(object) {
			status.await(seen, applied)
		}
	}
	return status, nil
}

// await notes since when an object is there whose address is waited for, and that it is missing.
func (s *RolloutStatus) await(seen *view, object client.Object) {
	s.Asked = latest(s.Asked, asked(object))
	s.Since = latest(s.Since, addressed(object))
	if service, ok := object.(*corev1.Service); ok {
		s.Missing = append(s.Missing, withoutAddress(service)...)
		return
	}
	s.Missing = append(s.Missing, ingressWithoutAddress(seen, object.GetName())...)
}

// ReleaseStandard takes away what is in front of the default agents and was made on demand, once nobody has asked for
// it for so long.
func (k *Keeper) ReleaseStandard(ctx context.Context, want Demand, after time.Duration, now time.Time) error {
	seen, err := k.listNamespace(ctx)
	if err != nil {
		return err
	}
	all, err := k.standardFront(ctx, seen, Demand{LoadBalancer: []topology.Family{topology.IPv4, topology.IPv6},
		Ingress: true})
	if err != nil {
		return err
	}
	for _, object := range all {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		current := seen.front(kind, object.GetName())
		if current == nil || current.GetDeletionTimestamp() != nil || want.has(object) || !onDemand(current) {
			continue
		}
		since, err := time.Parse(time.RFC3339, current.GetAnnotations()[unwantedAnnotation])
		switch {
		case err != nil:
			annotate(object, unwantedAnnotation, now.UTC().Format(time.RFC3339))
			_, _, err = k.apply(ctx, object, current)
		case now.Sub(since) < after:
			err = nil
		default:
			err = k.release(ctx, seen, object, current)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release deletes an Ingress, and leaves of a Service what it is without a load balancer.
func (k *Keeper) release(ctx context.Context, seen *view, object, current client.Object) error {
	if kind := object.GetObjectKind().GroupVersionKind().Kind; kind == kindIngress {
		return k.delete(ctx, kind, current)
	}
	of, err := k.standardOwner(ctx, seen)
	if err != nil {
		return err
	}
	plain := of.serviceOf(k.Manifests.Service, object.GetName(), FamilyOf(object.GetName()))
	_, _, err = k.apply(ctx, plain, current)
	return err
}

// onDemand reports whether an object is there for a demand: any Ingress, and a Service while it has a load balancer.
func onDemand(object client.Object) bool {
	service, ok := object.(*corev1.Service)
	return !ok || service.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// has reports whether the object is asked for.
func (d Demand) has(object client.Object) bool {
	if object.GetObjectKind().GroupVersionKind().Kind == kindIngress {
		return d.Ingress
	}
	return slices.Contains(d.LoadBalancer, FamilyOf(object.GetName()))
}

// standardFront is what is to stand in front of the default agents for the demand. All of it goes with their DaemonSet.
func (k *Keeper) standardFront(ctx context.Context, seen *view, want Demand) ([]client.Object, error) {
	of, err := k.standardOwner(ctx, seen)
	if err != nil {
		return nil, err
	}
	var wanted []client.Object
	for _, name := range of.names.Services {
		family := FamilyOf(name)
		service := of.serviceOf(k.Manifests.Service, name, family)
		var was map[string]string
		has := false
		if current := seen.service(name); current != nil {
			was, has = current.Annotations, onDemand(current)
		}
		if k.Manifests.LoadBalancer != nil && (has || slices.Contains(want.LoadBalancer, family)) {
			service = of.serviceOf(k.Manifests.LoadBalancer, name, family)
			keepTimes(service, was, want.has(service))
		}
		wanted = append(wanted, service)
	}
	if k.Manifests.Ingress == nil {
		return wanted, nil
	}
	ingress, current := of.ingressOf(k.Manifests.Ingress), seen.ingress(k.Manifests.Ingress.Name)
	switch {
	case current != nil:
		keepTimes(ingress, current.Annotations, want.Ingress)
	case want.Ingress:
		keepTimes(ingress, nil, true)
	default:
		return wanted, nil
	}
	return append(wanted, ingress), nil
}

// keepTimes writes on an object that is made on demand since when it is asked for, and keeps what was written there:
// since when, and, unless it is asked for again, since when not any more.
func keepTimes(object client.Object, was map[string]string, asked bool) {
	since := was[askedAnnotation]
	if since == "" {
		since = time.Now().UTC().Format(time.RFC3339)
	}
	annotate(object, askedAnnotation, since)
	if unwanted := was[unwantedAnnotation]; unwanted != "" && !asked {
		annotate(object, unwantedAnnotation, unwanted)
	}
}

func annotate(object client.Object, key, value string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	object.SetAnnotations(annotations)
}

// standardOwner is in whose front it all stands: the DaemonSet of the default agents.
func (k *Keeper) standardOwner(ctx context.Context, seen *view) (front, error) {
	standard, err := k.standard(ctx)
	if err != nil {
		return front{}, err
	}
	set := seen.set(standard.Name)
	if set == nil {
		return front{}, seen.absent("apps", "daemonsets", topology.DaemonSet, standard.Name)
	}
	return front{names: standard, standard: true, owner: metav1.OwnerReference{APIVersion: "apps/v1",
		Kind: topology.DaemonSet, Name: set.Name, UID: set.UID}}, nil
}

// asked is when an object was asked for, as it says itself.
func asked(object client.Object) time.Time {
	at, err := time.Parse(time.RFC3339, object.GetAnnotations()[askedAnnotation])
	if err != nil {
		return object.GetCreationTimestamp().Time
	}
	return at
}

// addressed is when the status of an object was written last, by whoever gives addresses; zero when it never was.
func addressed(object client.Object) time.Time {
	var last time.Time
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "status" && entry.Time != nil {
			last = latest(last, entry.Time.Time)
		}
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
