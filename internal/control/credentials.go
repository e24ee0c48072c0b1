package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

// fresh are TLS credentials that ask for their configuration at each handshake.
type fresh struct {
	config func() (*tls.Config, error)
}

// ClientHandshake proves both sides to each other.
func (f fresh) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := f.config()
	if err != nil {
		return nil, nil, fmt.Errorf("get the client's certificates: %w", err)
	}
	config = config.Clone()
	config.ServerName = pki.AgentName
	return credentials.NewTLS(config).ClientHandshake(ctx, pki.AgentName, raw)
}

// ServerHandshake is refused: these are a client's credentials.
func (fresh) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for clients only")
}

// Info describes the protocol.
func (fresh) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same: there is nothing in it that changes.
func (f fresh) Clone() credentials.TransportCredentials { return f }

// OverrideServerName is refused: an agent has one name only.
func (fresh) OverrideServerName(string) error { return errors.New("the server's name is fixed") }
