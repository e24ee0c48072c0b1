package inventory

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// authorityKey is the key under which cert-manager and others store the authority's certificate, beside the
	// server's.
	authorityKey = "ca.crt"
	// maxAuthority bounds an authority's certificates in bytes: half of what agents accept.
	maxAuthority = 128 << 10
)

var (
	errNoCertificate  = errors.New("it holds no certificate")
	errBadCertificate = errors.New("it holds a certificate that cannot be read")
)

// trust says how to verify the certificate in a Secret. The zero value leaves that to the system's authorities.
type trust struct {
	// authority is in PEM.
	authority []byte
	// unusableWhy is why the certificate cannot be verified, as one clause.
	unusableWhy string
}

// readTrust reads the Secret of an Ingress's certificate and drops the private key beside it. A Secret that does not
// exist, may not be read or holds nonsense is no error: the round reports it.
func (i *Inventory) readTrust(ctx context.Context, name string) (trust, error) {
	var secret corev1.Secret
	switch err := i.reader.Get(ctx, i.key(name), &secret); {
	case apierrors.IsNotFound(err):
		return trust{unusableWhy: fmt.Sprintf("its certificate's Secret %s does not exist", name)}, nil
	case apierrors.IsForbidden(err):
		return trust{unusableWhy: fmt.Sprintf(
			"the controller may not read its certificate's Secret %s; name it in the "+
				"chart's ingress.tls.secretName", name)}, nil
	case err != nil:
		return trust{}, fmt.Errorf("get secret %s/%s: %w", i.namespace, name, err)
	}
	authority, err := authorityOf(secret.Data)
	if err != nil {
		return trust{unusableWhy: fmt.Sprintf("its certificate's Secret %s cannot be used: %v", name, err)}, nil
	}
	return trust{authority: authority}, nil
}

// authorityOf returns, in PEM, the authority that must have signed the certificate: the authority in the same Secret,
// or the certificate itself when it is self-signed. The result is nil when another authority signed it, which the
// system must know then.
func authorityOf(data map[string][]byte) ([]byte, error) {
	if given := bytes.TrimSpace(data[authorityKey]); len(given) > 0 {
		certificates, err := certificatesIn(given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", authorityKey, err)
		}
		return toPEM(certificates), nil
	}
	certificates, err := certificatesIn(data[corev1.TLSCertKey])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", corev1.TLSCertKey, err)
	}
	// The server's own certificate comes first.
	own := certificates[0]
	if !bytes.Equal(own.RawIssuer, own.RawSubject) ||
		own.CheckSignature(own.SignatureAlgorithm, own.RawTBSCertificate, own.Signature) != nil {
		return nil, nil
	}
	return toPEM(certificates[:1]), nil
}

// certificatesIn returns all certificates of the text, at least one. Other blocks, such as keys, are left out.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxAuthority {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(text), maxAuthority)
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errBadCertificate
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errNoCertificate
	}
	return found, nil
}

// toPEM returns the certificates in PEM, without headers.
func toPEM(certificates []*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}
