package apiserver

import (
	"sync"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// KeyPair is a Certificate that can be replaced while it is in use. The zero value has no key pair: handshakes fail
// until the first Set. It is safe for concurrent use.
type KeyPair struct {
	mu        sync.Mutex
	cert, key []byte
	listeners []dynamiccertificates.Listener
}

var _ Certificate = (*KeyPair)(nil)

// Set takes a certificate chain and its key in PEM; connections made from now on see it.
func (k *KeyPair) Set(cert, key []byte) {
	k.mu.Lock()
	k.cert, k.key = cert, key
	listeners := k.listeners
	k.mu.Unlock()
	for _, l := range listeners {
		l.Enqueue()
	}
}

// Name is the name in logs.
func (*KeyPair) Name() string { return "serving-cert" }

// CurrentCertKeyContent returns what was set last.
func (k *KeyPair) CurrentCertKeyContent() (cert, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cert, k.key
}

// AddListener registers a listener that every Set calls.
func (k *KeyPair) AddListener(l dynamiccertificates.Listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listeners = append(k.listeners, l)
}
