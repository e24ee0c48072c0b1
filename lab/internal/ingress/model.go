package ingress

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// snapshot is what the cluster holds at one moment.
type snapshot struct {
	Ingresses []*networkingv1.Ingress
	Classes   []*networkingv1.IngressClass
	Services  []*corev1.Service
	Slices    []*discoveryv1.EndpointSlice
	Secrets   []*corev1.Secret
}

// site is what nginx has to serve.
type site struct {
	Hosts     []host
	Upstreams []upstream
}

// host is one server name with its paths. The empty name takes every request that no other host takes.
type host struct {
	Name  string
	Paths []path
	// Certificate is the key and certificate chain in PEM; empty means no TLS.
	Certificate []byte
}

// path sends requests to an upstream.
type path struct {
	Value    string
	Exact    bool
	Upstream string
}

// upstream is one port of a Service with its ready endpoints.
type upstream struct {
	Name      string
	Endpoints []netip.AddrPort
}

// ours returns the Ingresses that belong to a class, oldest first: the older of two that claim the same path wins.
func ours(s snapshot, class string) []*networkingv1.Ingress {
	isDefault := slices.ContainsFunc(s.Classes, func(c *networkingv1.IngressClass) bool {
		return c.Name == class && c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
	})
	var mine []*networkingv1.Ingress
	for _, in := range s.Ingresses {
		name, named := in.Annotations[legacyClassAnnotation]
		if in.Spec.IngressClassName != nil {
			name, named = *in.Spec.IngressClassName, true
		}
		if named && name == class || !named && isDefault {
			mine = append(mine, in)
		}
	}
	slices.SortFunc(mine, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Name, b.Name))
	})
	return mine
}

// siteOf joins the Ingresses with the Services, endpoints and secrets that they name.
func siteOf(s snapshot, mine []*networkingv1.Ingress) site {
	b := builder{snapshot: s, hosts: map[string]*host{}, upstreams: map[string]upstream{}}
	for _, in := range mine {
		b.rules(in)
	}
	// Default backends come last: they only get what no rule of any Ingress has claimed.
	for _, in := range mine {
		b.defaultBackend(in)
	}
	var out site
	for _, h := range b.hosts {
		slices.SortFunc(h.Paths, func(x, y path) int {
			return cmp.Or(cmp.Compare(x.Value, y.Value), cmp.Compare(kindOrder(x), kindOrder(y)))
		})
		out.Hosts = append(out.Hosts, *h)
	}
	slices.SortFunc(out.Hosts, func(x, y host) int { return cmp.Compare(x.Name, y.Name) })
	for _, u := range b.upstreams {
		out.Upstreams = append(out.Upstreams, u)
	}
	slices.SortFunc(out.Upstreams, func(x, y upstream) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

func kindOrder(p path) int {
	if p.Exact {
		return 0
	}
	return 1
}

type builder struct {
	snapshot  snapshot
	hosts     map[string]*host
	upstreams map[string]upstream
}

func (b *builder) rules(in *networkingv1.Ingress) {
	for _, rule := range in.Spec.Rules {
		h := b.host(rule.Host)
		if h.Certificate == nil {
			h.Certificate = b.certificate(in, rule.Host)
		}
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			exact := p.PathType != nil && *p.PathType == networkingv1.PathTypeExact
			b.claim(h, cmp.Or(p.Path, "/"), exact, in.Namespace, p.Backend)
		}
	}
}

func (b *builder) defaultBackend(in *networkingv1.Ingress) {
	if in.Spec.DefaultBackend == nil {
		return
	}
	names := []string{""}
	for _, rule := range in.Spec.Rules {
		names = append(names, rule.Host)
	}
	for _, name := range names {
		b.claim(b.host(name), "/", false, in.Namespace, *in.Spec.DefaultBackend)
	}
}

func (b *builder) host(name string) *host {
	h, ok := b.hosts[name]
	if !ok {
		h = &host{Name: name}
		b.hosts[name] = h
	}
	return h
}

func (b *builder) claim(h *host, value string, exact bool, namespace string, backend networkingv1.IngressBackend) {
	if !exact {
		value = "/" + strings.Trim(value, "/")
	}
	if slices.ContainsFunc(h.Paths, func(p path) bool { return p.Value == value && p.Exact == exact }) {
		return
	}
	h.Paths = append(h.Paths, path{Value: value, Exact: exact, Upstream: b.upstream(namespace, backend.Service)})
}

// upstream notes a Service's port and returns its name; "" stands for a backend that does not exist.
func (b *builder) upstream(namespace string, backend *networkingv1.IngressServiceBackend) string {
	if backend == nil {
		return ""
	}
	at := slices.IndexFunc(b.snapshot.Services, func(s *corev1.Service) bool {
		return s.Namespace == namespace && s.Name == backend.Name
	})
	if at < 0 {
		return ""
	}
	for _, sp := range b.snapshot.Services[at].Spec.Ports {
		if sp.Protocol != corev1.ProtocolTCP || (sp.Name != backend.Port.Name || backend.Port.Name == "") &&
			sp.Port != backend.Port.Number {
			continue
		}
		u := upstream{Name: strings.Join([]string{namespace, backend.Name, portName(sp)}, "."),
			Endpoints: b.endpoints(namespace, backend.Name, sp.Name)}
		if len(u.Endpoints) == 0 {
			return ""
		}
		b.upstreams[u.Name] = u
		return u.Name
	}
	return ""
}
