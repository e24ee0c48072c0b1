package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

type controller struct {
	cfg    Config
	client kubernetes.Interface
	watch  *watch
	server *nginx
}

// loop follows the cluster until ctx ends.
func (c *controller) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.watch.changed:
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
		err := c.reconcile(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		klog.FromContext(ctx).Error(err, "Cannot follow the cluster's Ingresses; trying again")
		if err := sleep(ctx, retry); err != nil {
			return err
		}
		c.watch.note()
	}
}

// reconcile lets nginx serve what the cluster holds now, and then says so in the Ingresses.
func (c *controller) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	s, err := c.watch.snapshot()
	if err != nil {
		return err
	}
	mine := ours(s, c.cfg.Class)
	config, files := render(c.layout(), siteOf(s, mine))
	if err := c.server.apply(ctx, config, files); err != nil {
		return err
	}
	want := statusOf(c.cfg.Addresses)
	var failed []error
	for _, in := range mine {
		if !equality.Semantic.DeepEqual(in.Status.LoadBalancer, want) {
			failed = append(failed, c.writeStatus(ctx, in, want))
		}
	}
	return errors.Join(failed...)
}

func (c *controller) writeStatus(ctx context.Context, in *networkingv1.Ingress,
	want networkingv1.IngressLoadBalancerStatus) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": want}})
	if err != nil {
		return fmt.Errorf("write status of Ingress %s/%s: %w", in.Namespace, in.Name, err)
	}
	_, err = c.client.NetworkingV1().Ingresses(in.Namespace).Patch(ctx, in.Name, types.MergePatchType, patch,
		metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write status of Ingress %s/%s: %w", in.Namespace, in.Name, err)
	}
	return nil
}

func (c *controller) layout() layout {
	return layout{Addresses: c.cfg.Addresses, StateDir: c.cfg.StateDir}
}

// statusOf is the status of an Ingress that is served on these addresses.
func statusOf(addresses []netip.Addr) networkingv1.IngressLoadBalancerStatus {
	var status networkingv1.IngressLoadBalancerStatus
	for _, a := range addresses {
		status.Ingress = append(status.Ingress, networkingv1.IngressLoadBalancerIngress{IP: a.String()})
	}
	return status
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
