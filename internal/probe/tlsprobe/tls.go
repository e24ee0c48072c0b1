package tlsprobe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

var (
	// errTLS is for a failure of TLS itself. Failures of the network below TLS, and running out of time, are no such
	// failures.
	errTLS = errors.New("TLS")
	// errNoHTTP2 is for a server that completed the handshake without agreeing to HTTP/2.
	errNoHTTP2 = fmt.Errorf("%w: the other side does not speak HTTP/2", errTLS)
	// errCertificateAsked is for a connection that ended after the server had asked for a client certificate.
	errCertificateAsked = fmt.Errorf("%w: the other side asked for a client certificate and then ended the connection",
		errTLS)
)

// trust is the authorities that targets with the same name in Trust believe; a nil pool stands for the system's.
type trust struct{ roots *x509.CertPool }

// trusts reads the authorities. It leaves out an authority without a certificate, so that targets that need it cannot
// be probed.
func trusts(authorities map[string][]byte) map[string]trust {
	all := map[string]trust{"": {}}
	for name, text := range authorities {
		if roots := x509.NewCertPool(); name != "" && roots.AppendCertsFromPEM(text) {
			all[name] = trust{roots}
		}
	}
	return all
}

// handshakeError separates failures of TLS from failures of the network.
func handshakeError(err error) error {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err,
		os.ErrDeadlineExceeded), errors.As(err, &errno):
		return err
	case !remoteAlert(err) && errors.As(err, &timeout) && timeout.Timeout():
		return err
	}
	return fmt.Errorf("%w: %w", errTLS, err)
}

// remoteAlert reports whether the error is an alert of the other side.
func remoteAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "remote error"
}

// tlsMessage says in few words what went wrong. It holds no times, addresses or keys, so that equal failures read
// equal.
func tlsMessage(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var operation *net.OpError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "the certificate is not valid"
	case errors.As(err, &name):
		return "the certificate is not one for " + name.Host
	case errors.As(err, &authority):
		return "the certificate is signed by an authority that is not trusted"
	case errors.As(err, &record):
		return "the other side does not speak TLS"
	case remoteAlert(err) && errors.As(err, &operation):
		return "the other side refused: " + operation.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed during the handshake"
	case errors.Is(err, errNoHTTP2):
		return "the other side does not speak HTTP/2"
	case errors.Is(err, errCertificateAsked):
		return "the other side asked for a client certificate and then ended the connection"
	}
	return "the handshake failed"
}
