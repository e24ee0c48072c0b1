// Package pki makes a lab's certificates and the kubeconfigs that hold them. They are for one lab and end with it.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

// validity is longer than anyone keeps a lab.
const validity = 365 * 24 * time.Hour

// Folder is where the certificates and keys are.
type Folder string

// CA is the path of the cluster's certificate authority.
func (f Folder) CA() string { return f.Cert("ca") }

// Cert is the path of a certificate.
func (f Folder) Cert(name string) string { return filepath.Join(string(f), name+".crt") }

// Key is the path of a certificate's private key.
func (f Folder) Key(name string) string { return filepath.Join(string(f), name+".key") }

// Names of the certificates and keys.
const (
	APIServer         = "apiserver"
	KubeletClient     = "kubelet-client"
	FrontProxyCA      = "front-proxy-ca"
	FrontProxyClient  = "front-proxy-client"
	ServiceAccounts   = "service-accounts"
	Admin             = "admin"
	ControllerManager = "controller-manager"
	Scheduler         = "scheduler"
	Proxy             = "proxy"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Make writes all certificates of a lab.
func (f Folder) Make(s plan.Settings) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("make the certificates' folder: %w", err)
	}
	cluster, err := f.authority("ca")
	if err != nil {
		return err
	}
	front, err := f.authority(FrontProxyCA)
	if err != nil {
		return err
	}
	for _, leaf := range leaves(s) {
		if err := f.issue(cluster, leaf); err != nil {
			return err
		}
	}
	if err := f.issue(front, leaf{file: FrontProxyClient, user: FrontProxyClient}); err != nil {
		return err
	}
	key, err := f.newKey(ServiceAccounts)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("write the service accounts' key: %w", err)
	}
	return write(f.Cert(ServiceAccounts), "PUBLIC KEY", public)
}

type leaf struct {
	file, user string
	group      string
	names      []string
	addresses  []netip.Addr
}

func leaves(s plan.Settings) []leaf {
	nodes := s.ClusterNodes()
	api := leaf{file: APIServer, user: "kube-apiserver", names: []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local",
	}, addresses: append(s.APIService(), netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback())}
	api.addresses = append(api.addresses, fabricAddresses(nodes[0])...)
	out := []leaf{
		api,
		{file: KubeletClient, user: "kube-apiserver-kubelet-client", group: "system:masters"},
		{file: Admin, user: "admin", group: "system:masters"},
		{file: ControllerManager, user: "system:kube-controller-manager"},
		{file: Scheduler, user: "system:kube-scheduler"},
		{file: Proxy, user: "system:kube-proxy"},
	}
	for _, n := range nodes {
		out = append(out, leaf{file: n.Name, user: "system:node:" + n.Name, group: "system:nodes",
			names: []string{n.Name}, addresses: fabricAddresses(n)})
	}
	return out
}

func fabricAddresses(n plan.Node) []netip.Addr {
	var out []netip.Addr
	for _, p := range n.Addresses {
		out = append(out, p.Addr())
	}
	return out
}

func (f Folder) authority(name string) (authority, error) {
	key, err := f.newKey(name)
	if err != nil {
		return authority{}, err
	}
	template := certificate(pkix.Name{CommonName: "kdoctor-lab-" + name})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("make certificate authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, fmt.Errorf("make certificate authority %s: %w", name, err)
	}
	return authority{cert: cert, key: key}, write(f.Cert(name), "CERTIFICATE", der)
}

func (f Folder) issue(by authority, l leaf) error {
	key, err := f.newKey(l.file)
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: l.user}
	if l.group != "" {
		subject.Organization = []string{l.group}
	}
	template := certificate(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = l.names
	for _, a := range l.addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return fmt.Errorf("make certificate %s: %w", l.file, err)
	}
	return write(f.Cert(l.file), "CERTIFICATE", der)
}

func certificate(subject pkix.Name) *x509.Certificate {
	serial, now := make([]byte, 16), time.Now()
	// crypto/rand's Read never fails.
	_, _ = rand.Read(serial)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
	}
}

func (f Folder) newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", name, err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", name, err)
	}
	return key, write(f.Key(name), "EC PRIVATE KEY", der)
}

func write(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
