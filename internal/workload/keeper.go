package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// errStranger is returned, wrapped, when an object of somebody else has the name of one of ours.
var errStranger = errors.New("it exists and belongs to somebody else; remove it, or give the task another name")

// Refused reports whether the error will stay until somebody does something: the API server said no, the default agents
// are not there, a name is taken. Any other error may be gone with the next try.
func Refused(err error) bool {
	if errors.Is(err, errStranger) || errors.Is(err, errNoPorts) {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests, http.StatusUnauthorized:
		return false
	default:
		return code >= 400 && code < 500
	}
}

// Config is what a Keeper works with.
type Config struct {
	// Client asks the API server itself: what a cache does not show yet would be made twice.
	Client client.Client
	// Namespace is the namespace of the installation.
	Namespace string
	// Manifests are those of the default agents, after which all others are made.
	Manifests Manifests
	// Owner is the controller's Deployment: what is made goes with the installation. Its zero value owns nothing.
	Owner metav1.OwnerReference
	// DualStack is the name of a Service that prefers all IP families: those that it was given are the cluster's.
	DualStack string
	// IPv4 and IPv6 are whether it is tested over these; the zero value is Auto.
	IPv4, IPv6 Use
	// NoLoadBalancer and NoIngress are why the installation may have none, as one clause; empty where it may.
	NoLoadBalancer, NoIngress string
	// HostPorts are those that agents on the nodes' own networks share.
	HostPorts Range
	// FieldOwner is the name under which the fields of all that is made are owned.
	FieldOwner string
}

// Keeper makes, watches and removes agents of tasks' own. It may be used by several goroutines.
type Keeper struct {
	Config
	// choosing has room for one, so that no two tasks choose the same ports at a time.
	choosing chan struct{}
	// tried is true once the default agents' Services were made, or refused.
	tried atomic.Bool
	// mu guards families, which are those of the cluster, and when to ask for them next.
	mu       sync.Mutex
	families []topology.Family
	ask      time.Time
}

// NewKeeper returns a keeper.
func NewKeeper(c Config) *Keeper { return &Keeper{Config: c, choosing: make(chan struct{}, 1)} }

// Ensure makes the agents what the wish says, as far as they are not, and tells how they stand. It may be called at any
// time and any number of times. What an earlier wish of the same task made and this one does not want is removed. Where
// nothing is to be done, it reads five lists.
func (k *Keeper) Ensure(ctx context.Context, wish DesiredAgents) (RolloutStatus, error) {
	if wish.Spec.HostNetwork {
		select {
		case k.choosing <- struct{}{}:
			defer func() { <-k.choosing }()
		case <-ctx.Done():
			return RolloutStatus{}, fmt.Errorf("wait for others to choose their host ports: %w", ctx.Err())
		}
	}
	seen, err := k.listNamespace(ctx)
	if err != nil {
		return RolloutStatus{}, err
	}
	if err := k.dropKind(ctx, seen, otherThan(wish.Names.Kind), wish); err != nil {
		return RolloutStatus{}, err
	}
	current := seen.workload(wish.Names.Kind, wish.Names.Name)
	switch {
	case current == nil:
	case current.GetDeletionTimestamp() != nil:
		return RolloutStatus{}, nil
	case !belongs(current, wish.Task):
		// The task was replaced under its old name before the agents of the earlier task were gone.
		return RolloutStatus{}, k.succeed(ctx, current, wish)
	}
	current, made, err := k.ensureWorkload(ctx, seen, current, wish)
	if err != nil {
		return RolloutStatus{}, err
	}
	changed, err := k.ensureFront(ctx, seen, current, wish)
	if err != nil {
		return RolloutStatus{}, err
	}
	if made || changed {
		// What was read is no longer how they stand.
		if seen, err = k.listNamespace(ctx); err != nil {
			return RolloutStatus{}, err
		}
	}
	standing, err := k.rolloutStatus(ctx, seen, current, wish)
	standing.Made = made || changed
	return standing, err
}

// Remove deletes the task's agents and all that stands in front of them. What does not exist, or belongs to another
// task, is left alone.
func (k *Keeper) Remove(ctx context.Context, wish DesiredAgents) error {
	seen, err := k.listNamespace(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []string{topology.DaemonSet, topology.Deployment} {
		if err := k.dropKind(ctx, seen, kind, wish); err != nil {
			return err
		}
	}
	return k.dropFront(ctx, seen, wish, nil)
}

func otherThan(kind string) string {
	if kind == topology.Deployment {
		return topology.DaemonSet
	}
	return topology.Deployment
}

// ensureWorkload applies the workload, and returns it as it is then, and whether it changed.
func (k *Keeper) ensureWorkload(ctx context.Context, seen *view, current client.Object,
	wish DesiredAgents) (client.Object, bool, error) {
	ports, err := k.ports(seen, current, wish)
	if err != nil {
		return nil, false, err
	}
	want, err := build(k.Manifests.DaemonSet, wish, ports, k.owners())
	if err != nil {
		return nil, false, err
	}
	return k.apply(ctx, want, current)
}

// owners are those of a workload.
func (k *Keeper) owners() []metav1.OwnerReference {
	if k.Owner.UID == "" {
		return nil
	}
	return []metav1.OwnerReference{k.Owner}
}

// ports returns the ports of the nodes that the agents use: those that they have, as long as nobody else has them too.
func (k *Keeper) ports(seen *view, current client.Object, wish DesiredAgents) (*Ports, error) {
	if !wish.Spec.HostNetwork {
		return nil, nil //nolint:nilnil // No ports and no error: agents with a network of their own need none of the nodes'.
	}
	taken := takenBy(seen.sets, seen.deployments, wish.Names.Name)
	if current != nil {
		if had := portsOf(templateIn(current).Spec); templateIn(current).Spec.HostNetwork &&
			k.HostPorts.holds(had, taken) {
			return &had, nil
		}
	}
	ports, err := k.HostPorts.pick(wish.Names.Name, taken)
	return &ports, err
}

func templateIn(workload client.Object) corev1.PodTemplateSpec {
	switch w := workload.(type) {
	case *appsv1.DaemonSet:
		return w.Spec.Template
	case *appsv1.Deployment:
		return w.Spec.Template
	}
	return corev1.PodTemplateSpec{}
}

// ensureFront applies the Services and the Ingress that are wanted and removes the others. It reports whether it
// changed anything.
func (k *Keeper) ensureFront(ctx context.Context, seen *view, owner client.Object, wish DesiredAgents) (changed bool,
	err error) {
	yes := true
	of := front{names: wish.Names, annotations: wish.Spec.Annotation, owner: metav1.OwnerReference{
		APIVersion: "apps/v1", Kind: wish.Names.Kind, Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes}}
	manifest := k.Manifests.Service
	if wish.LoadBalancer && k.Manifests.LoadBalancer != nil {
		manifest = k.Manifests.LoadBalancer
	}
	wanted := make([]client.Object, 0, len(wish.Names.Services)+1)
	for _, name := range wish.Names.Services {
		wanted = append(wanted, of.serviceOf(manifest, name, FamilyOf(name)))
	}
	if wish.Names.Ingress != "" && k.Manifests.Ingress != nil {
		wanted = append(wanted, of.ingressOf(k.Manifests.Ingress))
	}
	var keep []string
	for _, want := range wanted {
		kind := want.GetObjectKind().GroupVersionKind().Kind
		made, err := k.ensureOne(ctx, want, seen.front(kind, want.GetName()))
		if err != nil {
			return false, err
		}
		changed = changed || made
		keep = append(keep, kind+" "+want.GetName())
	}
	return changed, k.dropFront(ctx, seen, wish, keep)
}

// ensureOne applies one object in front of the agents; current is nil when there is none yet. One that is being deleted
// is made again once it is gone.
func (k *Keeper) ensureOne(ctx context.Context, want, current client.Object) (changed bool, err error) {
	kind := want.GetObjectKind().GroupVersionKind().Kind
	switch {
	case current == nil:
	case current.GetDeletionTimestamp() != nil:
		return false, nil
	case current.GetLabels()[nameLabel] != want.GetLabels()[nameLabel]:
		return false, fmt.Errorf("make %s %s/%s: %w", kind, k.Namespace, want.GetName(), errStranger)
	}
	_, changed, err = k.apply(ctx, want, current)
	return changed, err
}

// succeed makes room for a task by deleting the agents of one that is no more.
func (k *Keeper) succeed(ctx context.Context, current client.Object, wish DesiredAgents) error {
	if before := ownerOf(current); before.Kind != wish.Task.Kind || before.Name != wish.Task.Name {
		return fmt.Errorf("make %s %s/%s: %w", wish.Names.Kind, k.Namespace, current.GetName(), errStranger)
	}
	return k.delete(ctx, wish.Names.Kind, current)
}

// dropKind deletes the task's workload of the kind.
func (k *Keeper) dropKind(ctx context.Context, seen *view, kind string, wish DesiredAgents) error {
	current := seen.workload(kind, wish.Names.Name)
	if current == nil || !belongs(current, wish.Task) {
		return nil
	}
	return k.delete(ctx, kind, current)
}

// dropFront deletes Services and Ingresses of the agents but for those to keep, as "Service name" and "Ingress name".
func (k *Keeper) dropFront(ctx context.Context, seen *view, wish DesiredAgents, keep []string) error {
	for _, suffix := range []string{suffixIPv4, suffixIPv6} {
		name := wish.Names.Name + suffix
		for _, kind := range []string{kindService, kindIngress} {
			current := seen.front(kind, name)
			if current == nil || slices.Contains(keep, kind+" "+name) ||
				current.GetLabels()[nameLabel] != wish.Names.Name {
				continue
			}
			if err := k.delete(ctx, kind, current); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete deletes just this object, not one that was made in its place, and lets its pods go after it.
func (k *Keeper) delete(ctx context.Context, kind string, object client.Object) error {
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	uid := object.GetUID()
	err := k.Client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s/%s: %w", kind, k.Namespace, object.GetName(), err)
	}
	return nil
}

// belongs reports whether a workload is the task's.
func belongs(workload metav1.Object, to Task) bool { return ownerOf(workload).UID == to.UID }

// ownerOf returns whose agents a workload runs, the zero value for a stranger's. Release 0.1.0 said it by the
// controller of the workload.
func ownerOf(workload metav1.Object) Task {
	annotations := workload.GetAnnotations()
	if kind, name, ok := strings.Cut(annotations[taskAnnotation], "/"); ok {
		return Task{Kind: kind, Name: name, UID: types.UID(annotations[taskUIDAnnotation])}
	}
	if owner := metav1.GetControllerOfNoCopy(workload); owner != nil {
		return Task{Kind: owner.Kind, Name: owner.Name, UID: owner.UID}
	}
	return Task{}
}
