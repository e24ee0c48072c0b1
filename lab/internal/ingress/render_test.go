package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ingress(name string, age time.Duration, change func(*networkingv1.IngressSpec)) *networkingv1.Ingress {
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name,
		CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}}
	change(&in.Spec)
	return in
}

func rule(hostName string, paths ...networkingv1.HTTPIngressPath) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: hostName,
		IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths}}}
}

func to(kind networkingv1.PathType, value, service string,
	port networkingv1.ServiceBackendPort) networkingv1.HTTPIngressPath {
	return networkingv1.HTTPIngressPath{Path: value, PathType: &kind,
		Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: port}}}
}

func slice(service, port string, number int32, ready bool, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: service + addresses[0],
			Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Ports: []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints,
			discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return s
}

func shop() snapshot {
	service := func(name, portName string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: portName, Port: 80,
				Protocol: corev1.ProtocolTCP}}}}
	}
	return snapshot{
		Classes: []*networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: "lab",
			Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}}}},
		Services: []*corev1.Service{service("web", "http"), service("web-v4", ""), service("idle", "http")},
		Slices: []*discoveryv1.EndpointSlice{
			slice("web", "http", 8080, true, "198.19.1.5", "198.19.0.5"),
			slice("web", "http", 8080, true, "fd98:19::5"),
			slice("web", "http", 8080, false, "198.19.2.5"), slice("web", "other", 9090, true, "198.19.0.6"),
			slice("web-v4", "", 5710, true, "198.19.0.7"), slice("idle", "http", 8080, false, "198.19.0.8"),
		},
	}
}

func TestRenderGolden(t *testing.T) {
	number, named := networkingv1.ServiceBackendPort{Number: 80}, networkingv1.ServiceBackendPort{Name: "http"}
	tests := []struct {
		name, golden string
		ingresses    []*networkingv1.Ingress
	}{
		{"nothing to serve answers 404 everywhere", "empty.conf", nil},
		{"an exact path without a host goes to a single-stack Service", "exact.conf", []*networkingv1.Ingress{
			ingress("agent", 0, func(s *networkingv1.IngressSpec) {
				s.Rules = []networkingv1.IngressRule{rule("",
					to(networkingv1.PathTypeExact, "/kdoctoragent", "web-v4", number))}
			}),
		}},
		{"hosts, prefixes, missing Services, idle Services and default backends", "hosts.conf", []*networkingv1.Ingress{
			ingress("newer", 0, func(s *networkingv1.IngressSpec) {
				s.Rules = []networkingv1.IngressRule{rule("a.example",
					to(networkingv1.PathTypePrefix, "/web/", "idle", named))}
			}),
			ingress("older", time.Hour, func(s *networkingv1.IngressSpec) {
				web := &networkingv1.IngressServiceBackend{Name: "web-v4", Port: number}
				s.DefaultBackend = &networkingv1.IngressBackend{Service: web}
				s.Rules = []networkingv1.IngressRule{
					rule("a.example", to(networkingv1.PathTypePrefix, "/web", "web", named),
						to(networkingv1.PathTypeExact, "/web", "web-v4", number)),
					rule("*.b.example", to(networkingv1.PathTypeImplementationSpecific, "/", "web", number),
						to(networkingv1.PathTypePrefix, "/gone", "gone", number),
						to(networkingv1.PathTypePrefix, "/idle", "idle", number)),
				}
			}),
		}},
	}
	at := layout{Addresses: []netip.Addr{netip.MustParseAddr("198.18.0.3"), netip.MustParseAddr("fd98:18::3")},
		StateDir: "/state"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := shop()
			s.Ingresses = tt.ingresses
			got, _ := render(at, siteOf(s, ours(s, "lab")))
			golden := filepath.Join("testdata", tt.golden)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			slices.Reverse(s.Ingresses)
			slices.Reverse(s.Slices)
			if again, _ := render(at, siteOf(s, ours(s, "lab"))); again != got {
				t.Error("the order of objects changes the configuration")
			}
		})
	}
}

func TestOurs(t *testing.T) {
	class, other := "lab", "other"
	s := shop()
	s.Ingresses = []*networkingv1.Ingress{
		ingress("unclassed", 0, func(*networkingv1.IngressSpec) {}),
		ingress("named", 0, func(s *networkingv1.IngressSpec) { s.IngressClassName = &class }),
		ingress("foreign", 0, func(s *networkingv1.IngressSpec) { s.IngressClassName = &other }),
		ingress("annotated", time.Hour, func(*networkingv1.IngressSpec) {}),
	}
	s.Ingresses[3].Annotations = map[string]string{legacyClassAnnotation: "lab"}
	names := func() (out []string) {
		for _, in := range ours(s, class) {
			out = append(out, in.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"annotated", "named", "unclassed"}, names()); diff != "" {
		t.Errorf("with the default class: %s", diff)
	}
	s.Classes[0].Annotations = nil
	if diff := cmp.Diff([]string{"annotated", "named"}, names()); diff != "" {
		t.Errorf("with a class that is not the default: %s", diff)
	}
}

func TestTLSUsesOnlyWholeKeyPairs(t *testing.T) {
	s := shop()
	s.Ingresses = []*networkingv1.Ingress{ingress("secure", 0, func(spec *networkingv1.IngressSpec) {
		spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"good.example"}, SecretName: "good"},
			{Hosts: []string{"bad.example"}, SecretName: "bad"}}
		path := to(networkingv1.PathTypePrefix, "/", "web", networkingv1.ServiceBackendPort{Number: 80})
		spec.Rules = []networkingv1.IngressRule{rule("good.example", path), rule("bad.example", path),
			rule("plain.example", path)}
	})}
	cert, key := keyPair(t)
	s.Secrets = []*corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "good"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{"tls.crt": cert, "tls.key": key}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bad"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{"tls.crt": cert}},
	}
	got := map[string]bool{}
	for _, h := range siteOf(s, ours(s, "lab")).Hosts {
		got[h.Name] = h.Certificate != nil
	}
	if diff := cmp.Diff(map[string]bool{"good.example": true, "bad.example": false, "plain.example": false},
		got); diff != "" {
		t.Error(diff)
	}
}

func keyPair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"good.example"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}
