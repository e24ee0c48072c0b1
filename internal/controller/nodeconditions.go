package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/nodecondition"
	"kdoctor.io/kdoctor/internal/verdict"
)

// NodeCondition is the type of the condition of nodes, by the habit of the Node Problem Detector: True is a problem.
const NodeCondition corev1.NodeConditionType = "KdoctorNetworkProblem"

// The reasons of the condition of nodes.
const (
	PathsFail = "PathsFail"
	NoProblem = "NoProblem"
)

const (
	// nodeConditionsEvery is how often the conditions are looked after when no round ends.
	nodeConditionsEvery = 20 * time.Second
	// nodeHeartbeat is how often a condition that is True is confirmed. One that is False is written once.
	nodeHeartbeat = time.Minute
	// mostNodeWrites is how many conditions one look writes at most; the next look goes on.
	mostNodeWrites = 100
	nodePage       = 500
)

// NodeConditionsConfig is what NodeConditions works with.
type NodeConditionsConfig struct {
	// Client lists nodes and patches their status.
	Client client.Client
	// Nodes returns the UIDs of the nodes that exist, by name.
	Nodes func(context.Context) (map[string]types.UID, error)
	// Clear has the condition removed from all nodes in place of being kept.
	Clear bool
	Log   logr.Logger
}

// NodeConditions keeps the condition of nodes. Make it with NewNodeConditions and add it to the manager.
type NodeConditions struct {
	NodeConditionsConfig
	due chan struct{}

	mu      sync.Mutex
	tracker nodecondition.Tracker
	// measured are the nodes of which a round said something.
	measured map[string]bool

	// read reports that shown has what the nodes had when this controller began; both are Start's own.
	read  bool
	shown map[string]shownCondition
}

// shownCondition is the condition as a node has it. The node's UID tells it from a later one of its name.
type shownCondition struct {
	uid types.UID
	corev1.NodeCondition
}

// NewNodeConditions returns a keeper of conditions.
func NewNodeConditions(c NodeConditionsConfig) *NodeConditions {
	return &NodeConditions{NodeConditionsConfig: c, due: make(chan struct{}, 1), measured: map[string]bool{},
		shown: map[string]shownCondition{}}
}

// NeedLeaderElection is true: only the leader runs rounds.
func (n *NodeConditions) NeedLeaderElection() bool { return true }

// Observe takes a round of the task into account. The interval is the time between two of its rounds.
func (n *NodeConditions) Observe(task string, s Summary, interval time.Duration) {
	if s.Result != verdict.Pass && s.Result != verdict.Fail {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	failed := slices.Concat(s.Failed, s.Silent)
	n.tracker.Observe(task, nodecondition.Round{Passed: s.Succeeded, Failed: failed, Findings: s.Findings,
		Interval: interval}, time.Now())
	for _, node := range slices.Concat(s.Succeeded, failed) {
		n.measured[node] = true
	}
	n.soon()
}

// Forget takes back what rounds of a deleted task said.
func (n *NodeConditions) Forget(task string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tracker.Forget(task)
	n.soon()
}

func (n *NodeConditions) soon() {
	select {
	case n.due <- struct{}{}:
	default:
	}
}

// Start looks after the conditions until the context is over.
func (n *NodeConditions) Start(ctx context.Context) error {
	ticker := time.NewTicker(nodeConditionsEvery)
	defer ticker.Stop()
	for {
		if err := n.once(ctx, time.Now()); err != nil && ctx.Err() == nil {
			n.Log.Error(err, "keep the conditions of nodes")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-n.due:
		}
	}
}

func (n *NodeConditions) once(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if !n.read {
		if err := n.readNodes(ctx, now); err != nil {
			return err
		}
		n.read = true
	}
	nodes, err := n.Nodes(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(n.shown, func(name string, s shownCondition) bool { return nodes[name] != s.uid })
	if n.Clear {
		return n.remove(ctx)
	}
	var errs []error
	wanted := n.wanted(nodes, now)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := n.patch(ctx, name, wanted[name]); err != nil {
			errs = append(errs, err)
			continue
		}
		n.shown[name] = shownCondition{nodes[name], wanted[name]}
	}
	return errors.Join(errs...)
}

// readNodes reads which nodes have the condition. A problem that another controller found is taken over.
func (n *NodeConditions) readNodes(ctx context.Context, now time.Time) error {
	for token, first := "", true; first || token != ""; first = false {
		var page corev1.NodeList
		if err := n.Client.List(ctx, &page, client.Limit(nodePage), client.Continue(token)); err != nil {
			return fmt.Errorf("list the nodes: %w", err)
		}
		token = page.Continue
		for i := range page.Items {
			node := &page.Items[i]
			at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == NodeCondition
			})
			if at < 0 {
				continue
			}
			had := node.Status.Conditions[at]
			n.shown[node.Name] = shownCondition{node.UID, had}
			if had.Status == corev1.ConditionTrue {
				n.mu.Lock()
				n.tracker.Adopt(nodecondition.Problem{Node: node.Name, Message: had.Message}, now)
				n.mu.Unlock()
			}
		}
	}
	return nil
}

// wanted returns the conditions that are to be written, problems and their ends first, at most mostNodeWrites.
func (n *NodeConditions) wanted(nodes map[string]types.UID, now time.Time) map[string]corev1.NodeCondition {
	n.mu.Lock()
	defer n.mu.Unlock()
	exist := make(map[string]bool, len(nodes))
	for name := range nodes {
		exist[name] = true
	}
	maps.DeleteFunc(n.measured, func(name string, _ bool) bool { return !exist[name] })
	problems, withheld := n.tracker.Problems(exist, now)
	if withheld > 0 {
		n.Log.Info("more nodes are accused than may have a problem at once; the network is at fault, not so many nodes",
			"withheld", withheld)
	}
	messages := map[string]string{}
	for _, p := range problems {
		messages[p.Node] = p.Message
	}
	all := map[string]corev1.NodeCondition{}
	for _, urgent := range []bool{true, false} {
		for name := range exist {
			message, problem := messages[name]
			had, has := n.shown[name]
			isUrgent := problem || had.Status == corev1.ConditionTrue
			if isUrgent != urgent || len(all) >= mostNodeWrites || !isUrgent && !n.measured[name] {
				continue
			}
			if next, write := nextCondition(message, problem, had.NodeCondition, has, now); write {
				all[name] = next
			}
		}
	}
	return all
}

// nextCondition returns the condition that the node is to have, and whether it is to be written.
func nextCondition(message string, problem bool, had corev1.NodeCondition, has bool, now time.Time) (
	next corev1.NodeCondition, write bool) {
	at := metav1.NewTime(now.Truncate(time.Second))
	next = corev1.NodeCondition{Type: NodeCondition, Status: corev1.ConditionFalse, Reason: NoProblem,
		Message: "no kdoctor task finds that the node's network is at fault", LastHeartbeatTime: at, LastTransitionTime: at}
	if problem {
		next.Status, next.Reason, next.Message = corev1.ConditionTrue, PathsFail, short(message)
	}
	if !has || had.Status != next.Status {
		return next, true
	}
	next.LastTransitionTime = had.LastTransitionTime
	return next, problem && now.Sub(had.LastHeartbeatTime.Time) >= nodeHeartbeat
}

// remove takes the condition away from the nodes that have it.
func (n *NodeConditions) remove(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(n.shown)) {
		err := n.patch(ctx, name, map[string]any{"$patch": "delete", "type": NodeCondition})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		delete(n.shown, name)
	}
	return errors.Join(errs...)
}

// patch merges a condition into those of the node, which are a list by type.
func (n *NodeConditions) patch(ctx context.Context, name string, condition any) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{condition}}})
	if err != nil {
		return fmt.Errorf("encode the condition: %w", err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	err = n.Client.Status().Patch(ctx, node, client.RawPatch(types.StrategicMergePatchType, patch),
		client.FieldOwner(FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the condition of node %s: %w", name, err)
	}
	return nil
}
