// Package cloud is the lab's cloud provider: it gives every Service of type LoadBalancer an address per family from a
// pool and forwards connections on it to the nodes through haproxy, in TCP mode.
//
// Kubernetes' own service controller decides when a load balancer is to be made, changed or deleted. This package fills
// in its LoadBalancer interface; address choice and haproxy's configuration are pure functions.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cloud-provider/controllers/service"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/metrics/prometheus/controllers"
	"k8s.io/klog/v2"
)

// Config says where the load balancers' addresses come from and where their data path lives.
type Config struct {
	Kubeconfig string
	// PoolV4 and PoolV6 are the addresses that Services may get. The zero value stands for a family that the lab does
	// not have.
	PoolV4, PoolV6 netip.Prefix
	// Interface carries the addresses. It belongs to the calling process' network namespace.
	Interface string
	// StateDir holds a folder for each Service, with its haproxy's configuration and control socket.
	StateDir string
	// HAProxy is the path of haproxy's binary.
	HAProxy     string
	ClusterName string
	// NodeHealthPort is where a node says over HTTP, at /healthz, whether it forwards: kube-proxy's 10256, on all
	// addresses of the node. Zero connects to the node port instead, and then a pod that does not answer takes other
	// nodes out, too, because a node port leads to the pods of all nodes. Services with the policy Local have health
	// ports of their own.
	NodeHealthPort uint16
}

// validate returns every reason why c cannot work.
func (c Config) validate() error {
	var problems []error
	if !c.PoolV4.IsValid() && !c.PoolV6.IsValid() {
		problems = append(problems, errors.New("a pool of at least one family is needed"))
	}
	if c.PoolV4.IsValid() && !c.PoolV4.Addr().Is4() {
		problems = append(problems, fmt.Errorf("pool %s is not IPv4", c.PoolV4))
	}
	if c.PoolV6.IsValid() && !c.PoolV6.Addr().Is6() {
		problems = append(problems, fmt.Errorf("pool %s is not IPv6", c.PoolV6))
	}
	for name, value := range map[string]string{"Interface": c.Interface, "StateDir": c.StateDir, "HAProxy": c.HAProxy} {
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is not set", name))
		}
	}
	return errors.Join(problems...)
}

// Run provides load balancers until ctx ends. haproxy ends with it; the addresses stay on the interface, so that a
// later Run with the same cluster finds them in place.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("cloud provider's configuration: %w", err)
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	known, err := listServices(ctx, client)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	defer factory.Shutdown()
	nodes := factory.Core().V1().Nodes()
	fleet := newFleet(cfg.HAProxy, cfg.StateDir)
	balancer := newBalancer(cfg, fleet, nodes.Lister(), known)
	moved, err := watchNodeAddresses(nodes.Informer())
	if err != nil {
		return err
	}
	controller, err := service.New(provider{balancer}, client, factory.Core().V1().Services(), nodes, cfg.ClusterName,
		featuregate.NewFeatureGate())
	if err != nil {
		return fmt.Errorf("make the service controller: %w", err)
	}

	group, ctx := errgroup.WithContext(ctx)
	factory.Start(ctx.Done())
	group.Go(func() error { return fleet.run(ctx) })
	group.Go(func() error { return balancer.followNodes(ctx, moved) })
	group.Go(func() error {
		controller.Run(ctx, 1, controllers.NewControllerManagerMetrics("lab-cloud"))
		return ctx.Err()
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("cloud provider: %w", err)
	}
	return nil
}

// listServices returns the Services that have addresses already. The API server may still be starting, so it is asked
// until it answers.
func listServices(ctx context.Context, client kubernetes.Interface) ([]corev1.Service, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		list, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			return list.Items, nil
		}
		klog.FromContext(ctx).Info("Cannot list Services yet", "err", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list services: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// watchNodeAddresses returns a channel that is filled when a node's addresses have changed: the service controller
// compares nodes by name only.
func watchNodeAddresses(informer cache.SharedIndexInformer) (<-chan struct{}, error) {
	moved := make(chan struct{}, 1)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
		old, ok1 := before.(*corev1.Node)
		now, ok2 := after.(*corev1.Node)
		if !ok1 || !ok2 || equality.Semantic.DeepEqual(old.Status.Addresses, now.Status.Addresses) {
			return
		}
		select {
		case moved <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	return moved, nil
}
