// Package pki issues the certificates of an installation and decides when they are to be renewed.
// It holds no state and reads no clock: the moment is given by the caller, so that every decision can be tested.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// The names by which the two ends of the control channel know each other. They are in no DNS: they only stand in
// certificates.
const (
	AgentName      = "agent.kdoctor.internal"
	ControllerName = "controller.kdoctor.internal"
)

// How long certificates are valid. Each is renewed after two thirds of its life.
const (
	AuthorityLife = 10 * 365 * 24 * time.Hour
	LeafLife      = 90 * 24 * time.Hour
)

// skew is how far the clocks of two nodes may differ: certificates are valid from that much before they were made.
const skew = time.Hour

// maxCommonName is X.509's bound on common names, which some verifiers insist on; names that are longer stand as DNS
// names only.
const maxCommonName = 64

// Pair is a certificate and its private key, each one PEM block.
type Pair struct {
	Cert, Key []byte
}

// String keeps the private key out of logs.
func (p Pair) String() string {
	return fmt.Sprintf("certificate of %d bytes, key not shown", len(p.Cert))
}

// GoString keeps the private key out of logs.
func (p Pair) GoString() string { return p.String() }

// Profile says what a certificate is for.
type Profile struct {
	// DNSNames are the names it is valid for, at least one.
	DNSNames []string
	// Usage is the one thing that its owner may do with it: serve, or dial.
	Usage x509.ExtKeyUsage
}

// NewAuthority makes a self-signed authority that may issue leaves and nothing else.
func NewAuthority(now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate the authority's key: %w", err)
	}
	template, err := template(now, AuthorityLife)
	if err != nil {
		return Pair{}, err
	}
	// The serial makes the name of each authority its own, so that a verifier with two of them tries the right one.
	template.Subject = pkix.Name{CommonName: fmt.Sprintf("kdoctor authority %x", template.SerialNumber.Bytes()[:4])}
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	return sign(template, template, key, key)
}

// Issue makes a certificate for the profile, signed by the authority. It never outlives the authority.
func Issue(authority Pair, profile Profile, now time.Time) (Pair, error) {
	if len(profile.DNSNames) == 0 {
		return Pair{}, errors.New("a certificate needs a DNS name")
	}
	issuer, issuerKey, err := authority.Parse()
	if err != nil {
		return Pair{}, fmt.Errorf("read the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate a key: %w", err)
	}
	template, err := template(now, LeafLife)
	if err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(issuer.NotAfter) {
		template.NotAfter = issuer.NotAfter
	}
	if name := profile.DNSNames[0]; len(name) <= maxCommonName {
		template.Subject = pkix.Name{CommonName: name}
	}
	template.DNSNames = profile.DNSNames
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{profile.Usage}
	return sign(template, issuer, key, issuerKey)
}

func template(now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	// The top bit keeps the serial positive, and long enough to take a name from.
	serial.SetBit(serial, 120, 1)
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		BasicConstraintsValid: true}, nil
}

func sign(template, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: keyDER}),
	}, nil
}
