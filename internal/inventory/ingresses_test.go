package inventory_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// certificates are in PEM.
type certificates struct{ authority, signed, selfSigned, posing []byte }

func issue(t *testing.T) certificates {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	one := func(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotAfter:              time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: parent == nil, DNSNames: []string{"h.example"}}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority, text := one("authority", nil, key)
	_, signed := one("server", authority, key)
	_, own := one("own", nil, key)
	// It names itself as its issuer, but another key signed it.
	_, posing := one("server", &x509.Certificate{Subject: pkix.Name{CommonName: "server"}}, other)
	return certificates{authority: text, signed: signed, selfSigned: own, posing: posing}
}

// limited is a reader that may not read a Secret, or fails at one.
type limited struct {
	client.Reader
	forbidden, failing string
}

var errReader = errors.New("the API server is busy")

func (l limited) Get(ctx context.Context, key client.ObjectKey, object client.Object,
	options ...client.GetOption) error {
	if _, ok := object.(*corev1.Secret); ok {
		switch key.Name {
		case l.forbidden:
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, nil)
		case l.failing:
			return errReader
		}
	}
	return l.Reader.Get(ctx, key, object, options...)
}

// rule leads from the host's paths to Services, as path=service.
func rule(host string, paths ...string) networkingv1.IngressRule {
	made := networkingv1.IngressRule{Host: host}
	made.HTTP = &networkingv1.HTTPIngressRuleValue{}
	for _, text := range paths {
		path, service, _ := strings.Cut(text, "=")
		made.HTTP.Paths = append(made.HTTP.Paths, networkingv1.HTTPIngressPath{Path: path,
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service}}})
	}
	return made
}

func tls(secret string, hosts ...string) networkingv1.IngressTLS {
	return networkingv1.IngressTLS{Hosts: hosts, SecretName: secret}
}

func TestRulesOfAnIngress(t *testing.T) {
	made := issue(t)
	secret := func(name string, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
	}
	objects := []client.Object{daemonSet(0),
		secret("ca", map[string][]byte{"ca.crt": made.authority, "tls.crt": made.signed, "tls.key": []byte("secret")}),
		secret("self", map[string][]byte{"tls.crt": made.selfSigned}),
		secret("public", map[string][]byte{"tls.crt": made.signed, "ca.crt": []byte(" \n")}),
		secret("key", map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY",
			Bytes: []byte("secret")})}),
		secret("broken", map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: []byte("x")})}),
		secret("huge", map[string][]byte{"ca.crt": []byte(strings.Repeat("x", 1<<18))}), secret("empty", nil),
		secret("posing", map[string][]byte{"tls.crt": made.posing})}
	long := "/" + strings.Repeat("x", 128)
	backend := func(name string) *networkingv1.IngressBackend {
		return &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name}}
	}
	secure := func(host, trust, unusable string) []topology.Rule {
		return []topology.Rule{{Host: host, Path: "/", TLS: true, Trust: trust, Unusable: unusable}}
	}
	cases := []struct {
		name  string
		spec  networkingv1.IngressSpec
		rules []topology.Rule
		trust map[string][]byte
	}{
		{"every rule and path that leads to an agent Service counts, and no other",
			networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{
				rule("a.example", "/x=four", "/y=stranger", "/z=six"), rule("b.example", "/=stranger"),
				{Host: "c.example"}, rule("", "=six")}},
			[]topology.Rule{{Host: "a.example", Path: "/x"}, {Host: "a.example", Path: "/z"}, {Path: "/"}}, nil},
		{"without rules the default backend serves everything",
			networkingv1.IngressSpec{DefaultBackend: backend("four")}, []topology.Rule{{Path: "/"}}, nil},
		{"a stranger's default backend does not count", networkingv1.IngressSpec{DefaultBackend: backend("stranger")},
			nil, nil},
		{"a path that no request can have is told",
			networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule("", "x=four", long+"=four"),
				rule("a b", "/=four")}},
			[]topology.Rule{{Path: "x", Unusable: "a path does not begin with a slash"},
				{Path: long, Unusable: "a path has 129 bytes, and at most 128 can be probed"},
				{Host: "a b", Path: "/", Unusable: "the host of a rule is no name"}}, nil},
		{"the authority beside a certificate signs it",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("ca", "h.example")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "ca", ""), map[string][]byte{"ca": made.authority}},
		{"a certificate that has signed itself is its own authority",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("self")},
				Rules: []networkingv1.IngressRule{rule("", "/=four")}},
			secure("", "self", ""), map[string][]byte{"self": made.selfSigned}},
		{"a certificate that another authority has signed is the system's to know",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("public")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", ""), nil},
		{"a certificate that only claims to have signed itself is no authority",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("posing")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", ""), nil},
		{"without a Secret the implementation's certificate is the system's to know",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", ""), nil},
		{"a host that TLS does not name is served without it",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("ca", "h.example")},
				Rules: []networkingv1.IngressRule{rule("other.example", "/=four"), rule("", "/=four"),
					rule("deep.h.example", "/=four")}},
			[]topology.Rule{{Host: "other.example", Path: "/"}, {Path: "/"}, {Host: "deep.h.example", Path: "/"}}, nil},
		{"a wildcard under TLS covers one label",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("self"), tls("ca", "*.example")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "ca", ""), map[string][]byte{"ca": made.authority}},
		{"a wildcard host is named by itself",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("ca", "*.example")},
				Rules: []networkingv1.IngressRule{rule("*.example", "/=four")}},
			secure("*.example", "ca", ""), map[string][]byte{"ca": made.authority}},
		{"a Secret that does not exist is told",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("gone")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "its certificate's Secret gone does not exist"), nil},
		{"a Secret that may not be read is told with the cure",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("hidden")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "the controller may not read its certificate's Secret hidden; name it in the "+
				"chart's ingress.tls.secretName"), nil},
		{"a key in the place of the authority is no authority",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("key")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "its certificate's Secret key cannot be used: ca.crt: it holds no certificate"),
			nil},
		{"a Secret without a valid certificate makes the rule unusable",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("broken")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "its certificate's Secret broken cannot be used: ca.crt: it holds a certificate "+
				"that cannot be read"), nil},
		{"an authority that is too large is told",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("huge")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "its certificate's Secret huge cannot be used: ca.crt: it has 262144 bytes, more "+
				"than 131072"), nil},
		{"a Secret without a certificate is told",
			networkingv1.IngressSpec{TLS: []networkingv1.IngressTLS{tls("empty")},
				Rules: []networkingv1.IngressRule{rule("h.example", "/=four")}},
			secure("h.example", "", "its certificate's Secret empty cannot be used: tls.crt: it holds no certificate"),
			nil},
	}
	workload := topology.Workload{Kind: topology.DaemonSet, Name: "agents", Services: []string{"four", "six"},
		Ingress: "in"}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "in"},
				Spec: c.spec}
			api := limited{Reader: reader(t, append([]client.Object{ingress}, objects...)), forbidden: "hidden"}
			got, err := inventory.New(api, namespace).Snapshot(t.Context(), workload)
			if err != nil {
				t.Fatal(err)
			}
			want := []topology.Ingress{{Namespace: namespace, Name: "in", Rules: c.rules, Authorities: c.trust}}
			if diff := cmp.Diff(want, got.Ingresses); diff != "" {
				t.Errorf("ingresses (-want +got):\n%s", diff)
			}
		})
	}
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "in"},
		Spec: cases[4].spec}
	api := limited{Reader: reader(t, append([]client.Object{ingress}, objects...)), failing: "ca"}
	if _, err := inventory.New(api, namespace).Snapshot(t.Context(), workload); !errors.Is(err, errReader) {
		t.Errorf("an API server that does not answer gave %v; there is no snapshot then", err)
	}
}
