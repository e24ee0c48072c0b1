//go:build !linux

package responder

import (
	"context"
	"net"
)

func (r *Responder) serve(ctx context.Context, l *net.TCPListener) error {
	return r.serveHandler(ctx, l)
}
