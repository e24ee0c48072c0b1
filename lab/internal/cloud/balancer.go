package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
)

// applyTimeout bounds how long the data path may take to follow a change.
const applyTimeout = 10 * time.Second

// balancer implements cloudprovider.LoadBalancer.
type balancer struct {
	pools map[corev1.IPFamily]netip.Prefix
	link  link
	fleet *fleet
	nodes corelisters.NodeLister
	// healthPort is for Services that have no health port of their own.
	healthPort uint16

	// mu also serialises changes of the data path.
	mu sync.Mutex
	// held has the addresses of every Service, also of those of an earlier run that the controller has not come to yet.
	held map[string][]netip.Addr
	// served has the load balancers that forward.
	served map[string]served
}

type served struct {
	plan  plan
	nodes map[string]bool
}

func newBalancer(cfg Config, fleet *fleet, nodes corelisters.NodeLister, known []corev1.Service) *balancer {
	b := &balancer{
		pools: map[corev1.IPFamily]netip.Prefix{corev1.IPv4Protocol: cfg.PoolV4, corev1.IPv6Protocol: cfg.PoolV6},
		link:  link{name: cfg.Interface},
		fleet: fleet,
		nodes: nodes,

		healthPort: cfg.NodeHealthPort,

		held:   map[string][]netip.Addr{},
		served: map[string]served{},
	}
	for i := range known {
		svc := &known[i]
		if addrs := addressesIn(svc.Status.LoadBalancer); len(addrs) > 0 && svc.Spec.LoadBalancerClass == nil {
			b.held[serviceName(svc)] = addrs
		}
	}
	return b
}

// GetLoadBalancer says whether a Service has addresses here.
func (b *balancer) GetLoadBalancer(_ context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool,
	error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	addrs, ok := b.held[serviceName(svc)]
	return statusOf(addrs), ok, nil
}

// GetLoadBalancerName returns the name under which haproxy's configuration has the Service.
func (b *balancer) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return serviceName(svc)
}

// EnsureLoadBalancer gives the Service its addresses and returns when haproxy listens on them.
func (b *balancer) EnsureLoadBalancer(ctx context.Context, _ string, svc *corev1.Service,
	nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	p, err := planOf(svc)
	if err != nil {
		return nil, err
	}
	if p.HealthPort == 0 {
		p.HealthPort = b.healthPort
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	addrs, err := b.assign(p)
	if err != nil {
		return nil, err
	}
	b.held[p.Service] = addrs
	b.served[p.Service] = served{plan: p, nodes: names(nodes)}
	if err := b.apply(ctx); err != nil {
		return nil, err
	}
	return statusOf(addrs), nil
}

// UpdateLoadBalancer changes the nodes behind a Service.
func (b *balancer) UpdateLoadBalancer(ctx context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.served[serviceName(svc)]
	if !ok {
		return nil
	}
	s.nodes = names(nodes)
	b.served[serviceName(svc)] = s
	return b.apply(ctx)
}

// EnsureLoadBalancerDeleted gives the Service's addresses back.
func (b *balancer) EnsureLoadBalancerDeleted(ctx context.Context, _ string, svc *corev1.Service) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, serviceName(svc))
	delete(b.served, serviceName(svc))
	return b.apply(ctx)
}

// followNodes renders anew when nodes' addresses have changed, until ctx ends.
func (b *balancer) followNodes(ctx context.Context, moved <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
		b.mu.Lock()
		err := b.apply(ctx)
		b.mu.Unlock()
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot follow a change of nodes' addresses")
		}
	}
}

// assign chooses one address for each family of the Service; the caller holds mu.
func (b *balancer) assign(p plan) ([]netip.Addr, error) {
	taken := func(addr netip.Addr) bool {
		for other, addrs := range b.held {
			if other != p.Service && slices.Contains(addrs, addr) {
				return true
			}
		}
		return false
	}
	var addrs []netip.Addr
	for _, family := range p.Families {
		var has netip.Addr
		for _, addr := range b.held[p.Service] {
			if familyOf(addr) == family {
				has = addr
			}
		}
		addr, err := choose(b.pools[family], p.Asked, has, taken)
		if err != nil {
			return nil, fmt.Errorf("%s address for %s: %w", family, p.Service, err)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// apply makes interface and haproxy agree with the state; the caller holds mu. An address is there before haproxy binds
// to it and leaves after haproxy has let go of it.
func (b *balancer) apply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	frontends, err := b.frontends()
	if err != nil {
		return err
	}
	var want []netip.Addr
	for _, addrs := range b.held {
		want = append(want, addrs...)
	}
	pools := []netip.Prefix{b.pools[corev1.IPv4Protocol], b.pools[corev1.IPv6Protocol]}
	if err := b.link.add(pools, want); err != nil {
		return err
	}
	return errors.Join(b.fleet.apply(ctx, frontends), b.link.prune(pools, want))
}

// frontends are those of each Service.
func (b *balancer) frontends() (map[string][]frontend, error) {
	all, err := b.nodes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	frontends := map[string][]frontend{}
	for name, s := range b.served {
		nodes := slices.DeleteFunc(slices.Clone(all), func(n *corev1.Node) bool { return !s.nodes[n.Name] })
		for _, addr := range b.held[name] {
			frontends[name] = append(frontends[name], frontendOf(s.plan, addr, nodes))
		}
	}
	return frontends, nil
}

func names(nodes []*corev1.Node) map[string]bool {
	set := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		set[n.Name] = true
	}
	return set
}
