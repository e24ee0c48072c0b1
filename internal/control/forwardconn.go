package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"

	"kdoctor.io/kdoctor/internal/wire"
)

// maxForwardError bounds what is read of the kubelet's message, in bytes.
const maxForwardError = 4 << 10

// failureWait is how long an end of the data waits for the kubelet's word on it.
const failureWait = time.Second

// forwardConn is one forwarded connection. It has no deadlines: to end what waits on it, close it.
type forwardConn struct {
	streams httpstream.Connection
	data    httpstream.Stream
	port    uint16

	// failed is closed when the error stream has ended; failure is what the kubelet said on it, nil for nothing.
	failed  chan struct{}
	failure error
	once    sync.Once
	closing error
}

// newForwardConn opens the two streams of a forwarded connection, of which the kubelet wants the one for errors first.
func newForwardConn(streams httpstream.Connection, id int64, port uint16) (*forwardConn, error) {
	header := http.Header{}
	header.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	header.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(id, 10))
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	failures, err := streams.CreateStream(header)
	if err != nil {
		return nil, fmt.Errorf("for errors: %w", err)
	}
	// Nothing is written to it: this closes our half.
	if err := failures.Close(); err != nil {
		return nil, fmt.Errorf("for errors: %w", err)
	}
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := streams.CreateStream(header)
	if err != nil {
		return nil, fmt.Errorf("for data: %w", err)
	}
	c := &forwardConn{streams: streams, data: data, port: port, failed: make(chan struct{})}
	// It ends with the connection at the latest, and Close waits for it.
	go c.watch(failures)
	return c, nil
}

// watch reads the kubelet's word on why the connection failed, and ends the connection then: nothing will come any
// more.
func (c *forwardConn) watch(failures io.Reader) {
	defer close(c.failed)
	message, err := io.ReadAll(io.LimitReader(failures, maxForwardError))
	if len(message) > 0 {
		c.failure = errors.New(wire.Printable(string(message)))
	}
	if err != nil || len(message) > 0 {
		_ = c.data.Reset()
	}
}

// Read reads what the pod sends. Where the connection failed its error is the kubelet's word, if there is one.
func (c *forwardConn) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	return n, c.explain(err)
}

// Write sends to the pod.
func (c *forwardConn) Write(p []byte) (int, error) {
	n, err := c.data.Write(p)
	return n, c.explain(err)
}

func (c *forwardConn) explain(err error) error {
	if err == nil {
		return nil
	}
	// The kubelet ends the data first and says why a moment later, on the other stream.
	select {
	case <-c.failed:
		if c.failure != nil {
			return c.failure
		}
	case <-time.After(failureWait):
	}
	return err
}

// Close ends the connection and all that belongs to it.
func (c *forwardConn) Close() error {
	c.once.Do(func() {
		_ = c.data.Reset()
		c.closing = c.streams.Close()
		<-c.failed
	})
	return c.closing
}

// forwardAddr names an end of a forwarded connection.
type forwardAddr string

func (forwardAddr) Network() string  { return "port-forward" }
func (a forwardAddr) String() string { return string(a) }

// LocalAddr names this end, which has no address.
func (*forwardConn) LocalAddr() net.Addr { return forwardAddr("local") }

// RemoteAddr names the port of the pod.
func (c *forwardConn) RemoteAddr() net.Addr { return forwardAddr("pod:" + strconv.Itoa(int(c.port))) }

// SetDeadline is not supported.
func (*forwardConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline is not supported.
func (*forwardConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline is not supported.
func (*forwardConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
