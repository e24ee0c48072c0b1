package responder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// serveHandler serves by net/http.
func (r *Responder) serveHandler(ctx context.Context, l net.Listener) error {
	c := r.config
	server := &http.Server{
		Handler:                      r.handler,
		ReadHeaderTimeout:            c.Header,
		ReadTimeout:                  c.Request,
		WriteTimeout:                 c.Write,
		IdleTimeout:                  c.Idle,
		MaxHeaderBytes:               MaxHeader,
		DisableGeneralOptionsHandler: true,
		// The standard library logs every client that goes away. Reports show these.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(Limit(l, c.MaxConnections))
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve probes: %w", err)
}

// Limit bounds the connections of a listener. Further ones wait in the kernel's queue, where they cost nothing.
func Limit(l net.Listener, connections int) net.Listener {
	return &limited{Listener: l, open: make(chan struct{}, connections), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	open   chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits until fewer connections are open than the bound, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.open })}, nil
}

// Close also wakes an Accept that waits.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close makes room for another connection, once.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer properly before it closes.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
