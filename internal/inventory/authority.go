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
	// authorityKey is where cert-manager and others keep the certificate of the authority beside that of the server.
	authorityKey = "ca.crt"
	// maxAuthority bounds an authority's certificates in bytes: half of what agents take.
	maxAuthority = 128 << 10
)

var (
	errNoCertificate  = errors.New("it holds no certificate")
	errBadCertificate = errors.New("it holds a certificate that cannot be read")
)

// proof is how to verify the certificate in a Secret. The zero value leaves it to the system's authorities.
type proof struct {
	// authority is in PEM.
	authority []byte
	// missing is why nobody can tell, as one clause.
	missing string
}

// proof reads the Secret of an Ingress's certificate. The private key beside it goes nowhere. That the Secret is not
// there, may not be read or holds nonsense is no error: it is for the round to tell.
func (i *Inventory) proof(ctx context.Context, name string) (proof, error) {
	var secret corev1.Secret
	switch err := i.reader.Get(ctx, i.key(name), &secret); {
	case apierrors.IsNotFound(err):
		return proof{missing: fmt.Sprintf("its certificate's Secret %s does not exist", name)}, nil
	case apierrors.IsForbidden(err):
		return proof{missing: fmt.Sprintf("the controller may not read its certificate's Secret %s; name it in the "+
			"chart's ingress.tls.secretName", name)}, nil
	case err != nil:
		return proof{}, fmt.Errorf("get secret %s/%s: %w", i.namespace, name, err)
	}
	authority, err := authorityOf(secret.Data)
	if err != nil {
		return proof{missing: fmt.Sprintf("its certificate's Secret %s cannot be used: %v", name, err)}, nil
	}
	return proof{authority: authority}, nil
}

// authorityOf is what must have signed the certificate: the authority beside it or, where it has signed itself, the
// certificate. It is nothing where another authority has signed it that is not there, which the system must know then.
func authorityOf(data map[string][]byte) ([]byte, error) {
	if given := bytes.TrimSpace(data[authorityKey]); len(given) > 0 {
		certificates, err := certificatesIn(given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", authorityKey, err)
		}
		return encoded(certificates), nil
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
	return encoded(certificates[:1]), nil
}

// certificatesIn reads all certificates of the text, at least one. What else is there, such as a key, is left out.
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

// encoded is the certificates in PEM and nothing else.
func encoded(certificates []*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}
