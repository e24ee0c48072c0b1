package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"kdoctor.io/kdoctor/internal/topology"
)

// maxPath bounds a rule's path in bytes: it becomes part of the target's name.
const maxPath = 128

// ingresses reads the workload's Ingress, if it has one, with the authorities of its certificates.
func (i *Inventory) ingresses(ctx context.Context, of topology.Workload) ([]topology.Ingress, error) {
	if of.Ingress == "" {
		return nil, nil
	}
	var object networkingv1.Ingress
	err := i.reader.Get(ctx, i.key(of.Ingress), &object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get ingress %s/%s: %w", i.namespace, of.Ingress, err)
	}
	found := topology.Ingress{Namespace: object.Namespace, Name: object.Name}
	for _, lb := range object.Status.LoadBalancer.Ingress {
		found.Entries = append(found.Entries, entriesOf(lb.IP, lb.Hostname)...)
	}
	read := map[string]trust{}
	for _, rule := range rulesOf(object.Spec, of.Services) {
		secret, secure := secretOf(object.Spec.TLS, rule.Host)
		rule.TLS = secure
		if secret != "" && rule.Unusable == "" {
			known, ok := read[secret]
			if !ok {
				if known, err = i.readTrust(ctx, secret); err != nil {
					return nil, err
				}
				read[secret] = known
			}
			rule.Unusable = known.unusableWhy
			if known.authority != nil {
				rule.Trust = secret
				if found.Authorities == nil {
					found.Authorities = map[string][]byte{}
				}
				found.Authorities[secret] = known.authority
			}
		}
		found.Rules = append(found.Rules, rule)
	}
	return []topology.Ingress{found}, nil
}

// rulesOf returns the hosts and paths that lead to one of the Services. Without any rules the default backend serves
// every path.
func rulesOf(spec networkingv1.IngressSpec, services []string) []topology.Rule {
	var found []topology.Rule
	leads := func(to *networkingv1.IngressBackend) bool {
		return to != nil && to.Service != nil && slices.Contains(services, to.Service.Name)
	}
	if len(spec.Rules) == 0 && leads(spec.DefaultBackend) {
		return []topology.Rule{{Path: "/"}}
	}
	for _, rule := range spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			if leads(&path.Backend) {
				found = append(found, ruleOf(rule.Host, path.Path))
			}
		}
	}
	return found
}

// ruleOf returns a rule, which is Unusable when no request could be made for it. An empty path matches all paths.
func ruleOf(host, path string) topology.Rule {
	rule := topology.Rule{Host: host, Path: path}
	if path == "" {
		rule.Path = "/"
	}
	switch {
	case len(path) > maxPath:
		rule.Unusable = fmt.Sprintf("a path has %d bytes, and at most %d can be probed", len(path), maxPath)
	case rule.Path[0] != '/':
		rule.Unusable = "a path does not begin with a slash"
	case host != "" && len(validation.IsDNS1123Subdomain(strings.TrimPrefix(host, "*."))) > 0:
		rule.Unusable = "the host of a rule is no name"
	}
	return rule
}

// secretOf reports whether the host is served over TLS, and names the Secret that has its certificate; empty for the
// implementation's own certificate. As the API has it, an entry of tls is for its hosts, and an entry without hosts is
// for all. An entry with the very host wins over one with a wildcard.
func secretOf(tls []networkingv1.IngressTLS, host string) (secret string, secure bool) {
	_, domain, _ := strings.Cut(host, ".")
	for _, match := range []func(t networkingv1.IngressTLS) bool{
		func(t networkingv1.IngressTLS) bool { return host != "" && slices.Contains(t.Hosts, host) },
		func(t networkingv1.IngressTLS) bool { return domain != "" && slices.Contains(t.Hosts, "*."+domain) },
		func(t networkingv1.IngressTLS) bool { return len(t.Hosts) == 0 },
	} {
		if at := slices.IndexFunc(tls, match); at >= 0 {
			return tls[at].SecretName, true
		}
	}
	return "", false
}
