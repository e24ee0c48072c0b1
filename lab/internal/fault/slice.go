package fault

import (
	"context"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Slice is an EndpointSlice with an address that no pod has.
type Slice struct {
	none
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Node      string `json:"node"`
	Address   string `json:"address"`
}

// manager is what an EndpointSlice of a fault says of who manages it.
const manager = "fault.lab.kdoctor.io"

func (s *Slice) family() discoveryv1.AddressType {
	if netip.MustParseAddr(s.Address).Is4() {
		return discoveryv1.AddressTypeIPv4
	}
	return discoveryv1.AddressTypeIPv6
}

func (s *Slice) name() string {
	if s.family() == discoveryv1.AddressTypeIPv4 {
		return s.Service + "-fault-" + s.Node + "-ipv4"
	}
	return s.Service + "-fault-" + s.Node + "-ipv6"
}

// do copies the ports of the Service's other slices of the family, as kube-proxy joins the slices by their ports.
func (s *Slice) do(ctx context.Context, t tools) error {
	list, err := t.client.DiscoveryV1().EndpointSlices(s.Namespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + s.Service})
	if err != nil {
		return fmt.Errorf("list the endpoints of %s/%s: %w", s.Namespace, s.Service, err)
	}
	ready := true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: s.name(), Namespace: s.Namespace, Labels: map[string]string{
			discoveryv1.LabelServiceName: s.Service, discoveryv1.LabelManagedBy: manager}},
		AddressType: s.family(),
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{s.Address}, NodeName: &s.Node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
	for _, other := range list.Items {
		if other.AddressType == slice.AddressType && len(slice.Ports) == 0 {
			slice.Ports = other.Ports
		}
	}
	if len(slice.Ports) == 0 {
		return fmt.Errorf("service %s/%s has no %s endpoint to copy the ports of", s.Namespace, s.Service,
			slice.AddressType)
	}
	if _, err := t.client.DiscoveryV1().EndpointSlices(s.Namespace).Create(ctx, slice,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("add an endpoint to %s/%s: %w", s.Namespace, s.Service, err)
	}
	return nil
}

func (s *Slice) undo(ctx context.Context, t tools) error {
	err := t.client.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.name(), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the endpoint from %s/%s: %w", s.Namespace, s.Service, err)
	}
	return nil
}

func (s *Slice) left(ctx context.Context, t tools) ([]string, error) {
	_, err := t.client.DiscoveryV1().EndpointSlices(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the endpoint of the fault: %w", err)
	}
	return []string{fmt.Sprintf("EndpointSlice %s/%s", s.Namespace, s.name())}, nil
}
