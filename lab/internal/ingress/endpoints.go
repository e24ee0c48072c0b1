package ingress

import (
	"crypto/tls"
	"math"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// endpoints returns the ready endpoints of a Service's port, of every family that the Service has.
func (b *builder) endpoints(namespace, service, portName string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range b.snapshot.Slices {
		if slice.Namespace != namespace || slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, p := range slice.Ports {
			name := ""
			if p.Name != nil {
				name = *p.Name
			}
			if name == portName && p.Port != nil && *p.Port > 0 && *p.Port <= math.MaxUint16 {
				found = append(found, readyIn(slice, uint16(*p.Port))...)
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

func readyIn(slice *discoveryv1.EndpointSlice, port uint16) []netip.AddrPort {
	var found []netip.AddrPort
	for _, ep := range slice.Endpoints {
		if ep.Conditions.Ready != nil && !*ep.Conditions.Ready || len(ep.Addresses) == 0 {
			continue
		}
		// Several addresses of one endpoint are the same backend; a FQDN slice has none that nginx could use without
		// DNS.
		if addr, err := netip.ParseAddr(ep.Addresses[0]); err == nil {
			found = append(found, netip.AddrPortFrom(addr, port))
		}
	}
	return found
}

// certificate returns the key pair that an Ingress names for a host. An entry without hosts is for every host. A broken
// key pair counts as none: nginx would refuse the whole configuration because of it, with the paths of every other
// Ingress.
func (b *builder) certificate(in *networkingv1.Ingress, hostName string) []byte {
	for _, t := range in.Spec.TLS {
		if len(t.Hosts) > 0 && !slices.Contains(t.Hosts, hostName) {
			continue
		}
		for _, s := range b.snapshot.Secrets {
			if s.Namespace == in.Namespace && s.Name == t.SecretName && s.Type == corev1.SecretTypeTLS {
				if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
					continue
				}
				return slices.Concat(s.Data[corev1.TLSPrivateKeyKey], []byte("\n"), s.Data[corev1.TLSCertKey])
			}
		}
	}
	return nil
}

func portName(sp corev1.ServicePort) string {
	if sp.Name != "" {
		return sp.Name
	}
	return strconv.Itoa(int(sp.Port))
}
