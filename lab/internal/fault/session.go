package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// Session injects faults into one lab and heals them. Only one may work on a lab at a time.
type Session struct {
	Settings plan.Settings
	Folder   state.Folder
	Client   kubernetes.Interface
	Daemons  *process.Table
	// Self is the path of the lab's program, which runs the daemons of some faults.
	Self string
}

// Options are what a user says about a fault.
type Options struct {
	// On and Peer are names of nodes; empty where the fault needs none.
	On, Peer string
	// Namespace and Service choose the Services whose pods are the agents; an empty Service is all whose names begin
	// with AgentServices.
	Namespace, Service string
	// Port is the port of host agents, 1 to 65535.
	Port int
}

// errNode is returned for nodes that were not named well.
var errNode = errors.New("name the nodes of the fault")

func (s *Session) tools() tools {
	return tools{client: s.Client, daemons: s.Daemons, self: s.Self, lab: s.Settings.Name}
}

// Inject injects a fault. When it fails, what it has changed is taken back.
func (s *Session) Inject(ctx context.Context, f Fault, o Options) (Active, error) {
	scene, err := s.scene(f, o)
	if err != nil {
		return Active{}, err
	}
	record, err := read(s.Folder.Faults())
	if err != nil {
		return Active{}, err
	}
	active := Active{Name: f.Name, On: scene.On.Name, Peer: scene.Peer.Name, Components: f.Components, Cause: f.Cause,
		Aspect: f.Aspect}
	if f.Place == OnPair {
		active.Zones = []string{scene.On.Zone, scene.Peer.Zone}
	}
	for _, other := range record.Faults {
		if other.same(active) {
			return Active{}, fmt.Errorf("fault %s is in the lab already; take it back with: lab fault heal", f.Name)
		}
	}
	if active.Steps, err = f.Plan(ctx, scene); err != nil {
		return Active{}, fmt.Errorf("plan fault %s: %w", f.Name, err)
	}
	if err := s.before(ctx, &record, active.Steps); err != nil {
		return Active{}, err
	}
	committed := false
	err = forward(ctx, s.tools(), active.Steps, func() error {
		// Steps have read by now what undoing them needs.
		committed = true
		return record.with(active).write(s.Folder.Faults())
	})
	if err != nil && committed {
		err = errors.Join(err, s.retract(context.WithoutCancel(ctx), record, active))
	}
	if err != nil {
		return Active{}, fmt.Errorf("inject fault %s: %w", f.Name, err)
	}
	return active, nil
}

// retract takes back a fault that was injected in part, and leaves earlier faults in the lab.
func (s *Session) retract(ctx context.Context, earlier Record, failed Active) error {
	if len(earlier.Faults) == 0 {
		_, err := s.Heal(ctx)
		return err
	}
	if err := backward(ctx, s.tools(), failed.Steps); err != nil {
		return err
	}
	return earlier.write(s.Folder.Faults())
}

// scene finds the nodes that a user has named.
func (s *Session) scene(f Fault, o Options) (*Scene, error) {
	if err := f.suits(s.Settings); err != nil {
		return nil, err
	}
	scene := &Scene{Settings: s.Settings, Port: o.Port, Cluster: &live{client: s.Client, settings: s.Settings,
		folder: s.Folder, daemons: s.Daemons, namespace: o.Namespace, service: o.Service}}
	var err error
	if f.NeedsNode() || o.On != "" {
		if scene.On, err = s.node("--on", o.On); err != nil {
			return nil, err
		}
	}
	if !f.NeedsPeer() {
		return scene, nil
	}
	if scene.Peer, err = s.node("--peer", o.Peer); err != nil {
		return nil, err
	}
	if scene.On.Name == scene.Peer.Name {
		return nil, fmt.Errorf("--peer is the same node as --on: %w", errNode)
	}
	return scene, nil
}

func (s *Session) node(flag, name string) (plan.Node, error) {
	if s.Settings.Nodes == 0 {
		return plan.Node{}, errors.New("the lab has no nodes")
	}
	for _, n := range s.Settings.ClusterNodes() {
		if n.Name == name {
			return n, nil
		}
	}
	if name == "" {
		return plan.Node{}, fmt.Errorf("%s is missing: %w", flag, errNode)
	}
	return plan.Node{}, fmt.Errorf("%s %q is not a node of the lab: %w", flag, name, errNode)
}

// hosts are the namespaces of the lab's hosts.
func (s *Session) hosts() []Namespace {
	var out []Namespace
	for _, name := range s.Settings.Namespaces() {
		out = append(out, Namespace{Host: name})
	}
	return out
}

// before looks at the lab, if it has no fault yet, and at pods that no earlier fault has touched.
func (s *Session) before(ctx context.Context, record *Record, steps []Step) error {
	var unseen []Namespace
	if len(record.Faults) == 0 {
		record.Before = Snapshot{}
		unseen = s.hosts()
		pods, err := s.pods(ctx)
		if err != nil {
			return err
		}
		record.Ready = nil
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			if pods[name] {
				record.Ready = append(record.Ready, name)
			}
		}
	}
	for _, n := range touched(steps) {
		if _, seen := record.Before[n.String()]; n.Pod != "" && !seen {
			unseen = append(unseen, n)
		}
	}
	seen, err := look(ctx, unseen)
	if err != nil {
		return err
	}
	maps.Copy(record.Before, seen)
	return nil
}

// pods reports of each pod of the lab, by its namespace/name, whether it is ready. Pods that are being deleted are left
// out.
func (s *Session) pods(ctx context.Context) (map[string]bool, error) {
	list, err := s.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods of the lab: %w", err)
	}
	ready := map[string]bool{}
	for _, p := range list.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		ready[p.Namespace+"/"+p.Name] = slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	}
	return ready, nil
}

// unready returns a line for each pod that was ready before and is not now.
func unready(was []string, now map[string]bool) []string {
	var found []string
	for _, name := range was {
		if ready, exists := now[name]; exists && !ready {
			found = append(found, "pod "+name+" is not ready")
		}
	}
	return found
}

// touched returns the namespaces that steps change, each once.
func touched(steps []Step) []Namespace {
	var out []Namespace
	known := map[Namespace]bool{{}: true}
	for _, s := range steps {
		a, err := s.action()
		if err != nil || known[a.where()] {
			continue
		}
		known[a.where()] = true
		out = append(out, a.where())
	}
	return out
}

// settle is how long the lab may take until nothing of a fault is left, such as a pod that has to become ready again.
const settle = 30 * time.Second

// Healed is what healing has found.
type Healed struct {
	// Faults are those that were taken back.
	Faults []Active `json:"faults"`
	// Differences are lines that say what is not as it was before.
	Differences []string `json:"differences"`
}

// ErrDifferences is returned if the lab is not as it was before its faults.
var ErrDifferences = errors.New("the lab is not as it was before the fault")

// Heal takes back all faults of the lab and compares it with what it was before. A lab without faults is left alone.
// The record stays as long as something differs, so that healing can be tried again.
func (s *Session) Heal(ctx context.Context) (Healed, error) {
	record, err := read(s.Folder.Faults())
	if err != nil || len(record.Faults) == 0 {
		return Healed{}, err
	}
	var steps []Step
	for _, f := range record.Faults {
		steps = append(steps, f.Steps...)
	}
	undone := backward(ctx, s.tools(), steps)
	for _, n := range touched(steps) {
		restore(ctx, n, record.Before[n.String()])
	}
	s.forget(ctx)
	healed := Healed{Faults: record.Faults}
	for end := time.Now().Add(settle); ; {
		if healed.Differences, err = s.differences(ctx, record, steps); err != nil {
			return healed, errors.Join(undone, err)
		}
		if len(healed.Differences) == 0 || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return healed, errors.Join(undone, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	if len(healed.Differences) > 0 {
		return healed, errors.Join(undone, ErrDifferences)
	}
	if undone != nil {
		return healed, undone
	}
	if err := os.Remove(s.Folder.Faults()); err != nil {
		return healed, fmt.Errorf("remove the record of faults: %w", err)
	}
	return healed, nil
}

// forget lets all hosts ask for link addresses again, since what they found out during a fault may be wrong. Permanent
// entries stay.
func (s *Session) forget(ctx context.Context) {
	for _, n := range s.hosts() {
		for _, family := range []string{"-4", "-6"} {
			// There may be nothing to forget.
			_, _ = n.run(ctx, "ip", family, "neigh", "flush", "all")
		}
	}
}

// differences compares the lab with what it was, and asks the steps what is left of them.
func (s *Session) differences(ctx context.Context, record Record, steps []Step) ([]string, error) {
	namespaces := s.hosts()
	for _, n := range touched(steps) {
		if n.Pod != "" {
			namespaces = append(namespaces, n)
		}
	}
	now, err := look(ctx, namespaces)
	if err != nil {
		return nil, err
	}
	pods, err := s.pods(ctx)
	if err != nil {
		return nil, err
	}
	found := append(compare(record.Before, now, s.Settings.Pools()), unready(record.Ready, pods)...)
	for _, step := range steps {
		a, err := step.action()
		if err != nil {
			return nil, err
		}
		left, err := a.left(ctx, s.tools())
		if err != nil {
			return nil, err
		}
		found = append(found, left...)
	}
	return found, nil
}

// ActiveFaults returns the faults in the lab.
func (s *Session) ActiveFaults() ([]Active, error) {
	record, err := read(s.Folder.Faults())
	return record.Faults, err
}
