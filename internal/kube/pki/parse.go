package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// maxBundle bounds how many authorities a bundle may hold: far more than an overlap ever needs.
const maxBundle = 16

// Parse reads the pair and checks that the key belongs to the certificate.
func (p Pair) Parse() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(p.Cert)
	if block == nil || block.Type != certificateBlock {
		return nil, nil, errors.New("no PEM certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate: %w", err)
	}
	block, _ = pem.Decode(p.Key)
	if block == nil || block.Type != keyBlock {
		return nil, nil, errors.New("no PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		// The parser's own words could quote the key.
		return nil, nil, errors.New("the private key cannot be read")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("the private key is not ECDSA")
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, nil, errors.New("the private key belongs to another certificate")
	}
	return certificate, key, nil
}

// ParseBundle reads the authorities of a bundle, at least one.
func ParseBundle(bundle []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != certificateBlock || len(found) == maxBundle {
			return nil, fmt.Errorf("a bundle holds at most %d certificates and nothing else", maxBundle)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %d of the bundle: %w", len(found)+1, err)
		}
		if !certificate.IsCA {
			return nil, fmt.Errorf("certificate %d of the bundle is not an authority", len(found)+1)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errors.New("the bundle is empty")
	}
	return found, nil
}

// Bundle joins the authorities that are valid now, in the order given and without repetition.
func Bundle(now time.Time, authorities ...*x509.Certificate) []byte {
	var bundle []byte
	for _, a := range authorities {
		block := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: a.Raw})
		if now.Before(a.NotAfter) && !bytes.Contains(bundle, block) {
			bundle = append(bundle, block...)
		}
	}
	return bundle
}

// Pool is the bundle as a verifier takes it.
func Pool(authorities []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a)
	}
	return pool
}
