package certificates

import (
	"bytes"
	"crypto/tls"
	"errors"
	"sync"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

var _ dynamiccertificates.CertKeyContentProvider = (*Serving)(nil)

// Serving is a serving certificate as k8s.io/apiserver takes it. It is empty until Authority.Ensure has succeeded.
type Serving struct {
	mu        sync.RWMutex
	pair      pki.Pair
	listeners []dynamiccertificates.Listener
}

// Name identifies the certificate in logs.
func (*Serving) Name() string { return "aggregated-api-serving-certificate" }

// CurrentCertKeyContent returns the certificate and its key, PEM.
func (s *Serving) CurrentCertKeyContent() (cert, key []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pair.Cert, s.pair.Key
}

// AddListener registers a listener that every change calls.
func (s *Serving) AddListener(listener dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}

// Certificate returns the certificate for a server of our own, the newest one for each connection. It fails before
// Ensure.
func (s *Serving) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, key := s.CurrentCertKeyContent()
	if len(cert) == 0 {
		return nil, ErrNotReady
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New("the serving certificate and its key do not fit")
	}
	return &pair, nil
}

func (s *Serving) set(pair pki.Pair) {
	s.mu.Lock()
	changed := !bytes.Equal(s.pair.Cert, pair.Cert)
	s.pair = pair
	listeners := s.listeners
	s.mu.Unlock()
	// Outside the lock: a listener may ask for the content at once.
	for _, l := range listeners {
		if changed {
			l.Enqueue()
		}
	}
}
