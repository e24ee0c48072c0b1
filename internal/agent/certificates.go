package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// ControllerName is the DNS name in the certificate of the only client that an agent obeys.
const ControllerName = "controller.kdoctor.internal"

// certificates has the agent's certificate and the authority of its installation, read again when the files change.
type certificates struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	seen   [3]stamp
	config *tls.Config
	err    error
}

// stamp differs between two states of a file.
type stamp struct {
	modified time.Time
	size     int64
}

func newCertificates(dir string, log *slog.Logger) *certificates {
	return &certificates{dir: dir, log: log}
}

// ready reports whether there is a certificate to serve with.
func (c *certificates) ready() error {
	_, err := c.current()
	return err
}

// current returns the TLS configuration of the newest files. When they cannot be used, as in the middle of a change,
// the configuration before them stays in force.
func (c *certificates) current() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.stamps()
	if err == nil && stamps == c.seen {
		return c.config, c.err
	}
	var loaded *tls.Config
	if err == nil {
		loaded, err = c.load()
	}
	if err == nil {
		c.config, c.err, c.seen = loaded, nil, stamps
		c.log.Info("certificate loaded", "dir", c.dir)
		return c.config, nil
	}
	if c.seen != stamps {
		c.log.Warn("certificate cannot be loaded", "dir", c.dir, "error", err)
		c.seen = stamps
	}
	if c.config == nil {
		c.err = fmt.Errorf("load certificate: %w", err)
	}
	return c.config, c.err
}

func (c *certificates) files() [3]string {
	return [3]string{filepath.Join(c.dir, "ca.crt"), filepath.Join(c.dir, "tls.crt"), filepath.Join(c.dir, "tls.key")}
}

func (c *certificates) stamps() (stamps [3]stamp, err error) {
	for i, file := range c.files() {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, fmt.Errorf("look at certificate: %w", err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

func (c *certificates) load() (*tls.Config, error) {
	files := c.files()
	pair, err := tls.LoadX509KeyPair(files[1], files[2])
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", files[0])
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2"},
		// The standard library verifies the chain to the authority; VerifyConnection verifies who the client is.
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        authority,
		VerifyConnection: verifyController,
		// A session ticket would outlive the authority under which it was issued.
		SessionTicketsDisabled: true,
	}, nil
}

// server returns a configuration that looks at the files again for every handshake.
func (c *certificates) server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current() },
	}
}

// verifyController accepts the controller alone. The same authority signs other certificates too, such as those of
// other agents. A certificate without any extended key usage passes the standard library's check and is refused here.
func verifyController(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the client shows no certificate")
	}
	leaf := state.PeerCertificates[0]
	if !slices.Contains(leaf.DNSNames, ControllerName) {
		return fmt.Errorf("the client's certificate is not for %s", ControllerName)
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return errors.New("the client's certificate is not for clients")
	}
	return nil
}
