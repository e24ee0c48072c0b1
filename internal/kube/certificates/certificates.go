// Package certificates keeps an installation's certificates in Secrets: it makes them, renews them in time and hands
// them to the programs' own servers and clients. Several replicas may do so at once; whoever writes first is right, and
// the others read again.
package certificates

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

// The Secrets' names, after the prefix and a dash.
const (
	authoritySecret  = "ca"
	agentSecret      = "agent-tls"
	controllerSecret = "controller-tls"
	apiSecret        = "api-tls"
)

const (
	defaultPrefix   = "kdoctor"
	defaultInterval = time.Minute
	// soon is how long after a failure the next attempt is made.
	soon = 5 * time.Second
)

// ErrNotReady says that no certificates have been read yet: Ensure must succeed first.
var ErrNotReady = errors.New("the certificates are not there yet")

// Config says where the certificates are kept and for whom they are.
type Config struct {
	// Client must not cache: it needs no more than to get and update four Secrets by name, and to create them.
	Client client.Client
	// Namespace holds the Secrets and the Service of the aggregated API.
	Namespace string
	// Prefix begins the Secrets' names; empty is "kdoctor", as in kdoctor-agent-tls.
	Prefix string
	// Service is the name of the aggregated API's Service. Empty means that there is no aggregated API, and no
	// certificate for it.
	Service string
	// APIService is the registration that is given our bundle of authorities; empty for none.
	APIService string
	// Owner owns the Secrets, so that they go when it goes; nil for none.
	Owner *metav1.OwnerReference
	// Interval is how often Run looks; 0 is a minute.
	Interval time.Duration
}

// Authority keeps the certificates. Its getters answer from memory.
type Authority struct {
	config  Config
	serving *Serving

	mu       sync.RWMutex
	trusted  []*x509.Certificate
	identity *tls.Certificate
}

// New returns an authority that has nothing yet.
func New(config Config) *Authority {
	config.Prefix = cmp.Or(config.Prefix, defaultPrefix)
	config.Interval = cmp.Or(config.Interval, defaultInterval)
	return &Authority{config: config, serving: &Serving{}}
}

// Ensure makes or renews what has to be, and takes what there is into memory. It may be repeated without harm.
func (a *Authority) Ensure(ctx context.Context) error {
	_, err := a.ensure(ctx)
	return err
}

// Run ensures again and again until the context ends: that renews certificates in time, repairs Secrets that were
// deleted or garbled, and learns what another replica has renewed. It returns nil. Every replica runs it, whether it
// leads or not.
func (a *Authority) Run(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx)
	wait := soon
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		complete, err := a.ensure(ctx)
		wait = a.config.Interval
		if err != nil && ctx.Err() == nil {
			log.Error(err, "cannot ensure the certificates; will try again", "after", soon)
		}
		if err != nil || !complete {
			wait = soon
		}
	}
}

// ensure reports whether all is done: the APIService may appear only after us.
func (a *Authority) ensure(ctx context.Context) (complete bool, err error) {
	now := time.Now()
	authority, err := a.ensureAuthority(ctx, now)
	if err != nil {
		return false, err
	}
	for _, leaf := range a.leaves() {
		pair, err := a.ensureLeaf(ctx, leaf, authority, now)
		if err != nil {
			return false, err
		}
		if err := a.adopt(leaf.secret, pair, authority.Bundle); err != nil {
			return false, err
		}
	}
	return a.ensureRegistration(ctx, authority.Bundle)
}

// leaf is one certificate of the installation.
type leaf struct {
	secret  string
	profile pki.Profile
}

func (a *Authority) leaves() []leaf {
	leaves := []leaf{
		{agentSecret, pki.Profile{DNSNames: []string{pki.AgentName}, Usage: x509.ExtKeyUsageServerAuth}},
		{controllerSecret, pki.Profile{DNSNames: []string{pki.ControllerName}, Usage: x509.ExtKeyUsageClientAuth}},
	}
	if a.config.Service == "" {
		return leaves
	}
	service := a.config.Service + "." + a.config.Namespace
	names := []string{service + ".svc", service + ".svc.cluster.local", service, a.config.Service}
	return append(leaves, leaf{apiSecret, pki.Profile{DNSNames: names, Usage: x509.ExtKeyUsageServerAuth}})
}

// adopt takes a certificate that this program itself uses into memory.
func (a *Authority) adopt(secret string, pair pki.Pair, bundle []byte) error {
	switch secret {
	case apiSecret:
		a.serving.set(pair)
	case controllerSecret:
		trusted, err := pki.ParseBundle(bundle)
		if err != nil {
			return fmt.Errorf("read the trusted authorities: %w", err)
		}
		identity, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return errors.New("the controller's certificate and key do not fit")
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.trusted, a.identity = trusted, &identity
	}
	return nil
}

// ClientTLS returns the configuration with which the controller dials agents, made from the newest certificates.
// Make one for each connection: an older one does not learn of a new authority. Before Ensure it returns ErrNotReady.
func (a *Authority) ClientTLS() (*tls.Config, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.identity == nil {
		return nil, ErrNotReady
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           pki.AgentName,
		RootCAs:              pki.Pool(a.trusted),
		GetClientCertificate: a.clientCertificate,
	}, nil
}

func (a *Authority) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.identity, nil
}

// Expiry returns when the certificates that this program itself uses end: "api" is that of its servers, "controller"
// the one by which it shows agents who it is. There are none before Ensure.
func (a *Authority) Expiry() map[string]time.Time {
	ends := map[string]time.Time{}
	cert, key := a.serving.CurrentCertKeyContent()
	if pair, err := tls.X509KeyPair(cert, key); err == nil {
		ends["api"] = pair.Leaf.NotAfter
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.identity != nil {
		ends["controller"] = a.identity.Leaf.NotAfter
	}
	return ends
}

// Serving returns the aggregated API's certificate, which changes by itself when it is renewed.
func (a *Authority) Serving() *Serving { return a.serving }
