package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kdoctor.io/kdoctor/lab/internal/dns"
	"kdoctor.io/kdoctor/lab/internal/image"
	"kdoctor.io/kdoctor/lab/internal/node"
)

// look is how often what is waited for is looked at.
const look = 100 * time.Millisecond

// await asks until it is told yes. A daemon that ends meanwhile is the reason at once, and so is the last answer at the
// end.
func (l *Lab) await(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	for {
		done, err := ask(ctx)
		if done {
			return nil
		}
		if failed := l.table.Failed(); failed != nil {
			return fmt.Errorf("wait for %s: %w", what, failed)
		}
		select {
		case <-ctx.Done():
			if err == nil {
				return fmt.Errorf("wait for %s: %w", what, ctx.Err())
			}
			return fmt.Errorf("wait for %s: %w (last seen: %w)", what, ctx.Err(), err)
		case <-time.After(look):
		}
	}
}

func (l *Lab) awaitAPI(ctx context.Context, client kubernetes.Interface) error {
	return l.await(ctx, "the API server", func(ctx context.Context) (bool, error) {
		err := ready(ctx, client)
		return err == nil, err
	})
}

// awaitNodes returns when all nodes are ready. Each is given its pod subnets, and the first one its role, once it has
// registered.
func (l *Lab) awaitNodes(ctx context.Context, client kubernetes.Interface, nodes []node.Node) error {
	patched := map[string]bool{}
	return l.await(ctx, "the nodes", func(ctx context.Context) (bool, error) {
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		registered := map[string]*corev1.Node{}
		for i := range list.Items {
			registered[list.Items[i].Name] = &list.Items[i]
		}
		var notReady []string
		for _, n := range nodes {
			seen := registered[n.Name]
			if seen != nil && !patched[n.Name] {
				if err := describe(ctx, client, n); err != nil {
					return false, err
				}
				patched[n.Name] = true
			}
			if seen == nil || !nodeReady(seen) {
				notReady = append(notReady, n.Name)
			}
		}
		return len(notReady) == 0, fmt.Errorf("not ready: %v", notReady)
	})
}

func nodeReady(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// describe writes into a node object what only the plan knows.
func describe(ctx context.Context, client kubernetes.Interface, n node.Node) error {
	subnets := make([]string, len(n.Pods))
	for i, p := range n.Pods {
		subnets[i] = p.String()
	}
	patch := map[string]any{"spec": map[string]any{"podCIDR": subnets[0], "podCIDRs": subnets}}
	if n.Index == 0 {
		patch["metadata"] = map[string]any{"labels": map[string]string{"node-role.kubernetes.io/control-plane": ""}}
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("describe node %s: %w", n.Name, err)
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, data,
		metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("describe node %s: %w", n.Name, err)
	}
	return nil
}

// applyDNS hands CoreDNS' objects to the API server, as an administrator would.
func (l *Lab) applyDNS(ctx context.Context) error {
	manifest, err := dns.Manifest(l.Settings, image.CoreDNS)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.Cache.Program("kubectl"), "--kubeconfig="+l.State.Kubeconfig(), "create",
		"--validate=false", "-f", "-")
	cmd.Stdin = bytes.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create CoreDNS' objects: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (l *Lab) awaitDNS(ctx context.Context, client kubernetes.Interface) error {
	return l.await(ctx, "CoreDNS", func(ctx context.Context) (bool, error) {
		d, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue &&
				d.Status.AvailableReplicas > 0 {
				return true, nil
			}
		}
		return false, fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, d.Status.Replicas)
	})
}
