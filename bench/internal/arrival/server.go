package arrival

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRequest bounds a request's headers.
const maxRequest = 8 << 10

// Config is one server.
type Config struct {
	// Body is what it answers, with status 200.
	Body string
	// Stall is how long it answers nothing, once, beginning StallAfter the first request; 0 for never. It goes on
	// accepting and taking stamps.
	Stall, StallAfter time.Duration
}

// Server answers HTTP/1.1 requests without bodies and notes when each arrived.
type Server struct {
	config Config
	answer []byte

	// answering is held for reading by whoever answers, for writing by the stall.
	answering sync.RWMutex
	first     sync.Once

	mu       sync.Mutex
	arrivals []int64
}

// NewServer makes a server.
func NewServer(c Config) *Server {
	return &Server{config: c,
		answer: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
			strconv.Itoa(len(c.Body)) + "\r\n\r\n" + c.Body)}
}

// Listen opens a listener whose connections carry stamps of the kernel.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS,
				1)
		})
		return errors.Join(err, inner)
	}}
	config.SetMultipathTCP(false)
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen with stamps: %w", err)
	}
	return l, nil
}

// Serve serves until the context ends, and waits for all connections to be closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		running.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			// The other side ends connections as it likes.
			_ = s.connection(ctx, conn)
			_ = conn.Close()
		})
	}
}

// Arrivals are the moments at which requests arrived, in nanoseconds since 1970.
func (s *Server) Arrivals() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int64(nil), s.arrivals...)
}

func (s *Server) connection(ctx context.Context, conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("a connection of type %T", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	buffer := make([]byte, maxRequest)
	control := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		stamp, last, err := request(raw, buffer, control)
		if err != nil {
			return err
		}
		s.arrived(ctx, stamp)
		s.answering.RLock()
		_, err = conn.Write(s.answer)
		s.answering.RUnlock()
		if err != nil || last {
			return err
		}
	}
}

// request reads one request: when its first byte arrived, and whether it is the connection's last.
func request(raw syscall.RawConn, buffer, control []byte) (stamp int64, last bool, err error) {
	filled := 0
	for {
		n, at, err := read(raw, buffer[filled:], control)
		if err != nil {
			return 0, false, err
		}
		if filled == 0 {
			stamp = at
		}
		filled += n
		if bytes.HasSuffix(buffer[:filled], []byte("\r\n\r\n")) {
			return stamp, bytes.Contains(bytes.ToLower(buffer[:filled]), []byte("\r\nconnection: close\r\n")), nil
		}
		if filled == len(buffer) {
			return 0, false, errors.New("a request that is too long")
		}
	}
}

// read is one read with the kernel's stamp, or with the clock of now where there is none.
func read(raw syscall.RawConn, buffer, control []byte) (n int, stamp int64, err error) {
	var controls int
	outer := raw.Read(func(fd uintptr) bool {
		n, controls, _, _, err = unix.Recvmsg(int(fd), buffer, control, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err = errors.Join(outer, err); err != nil {
		return 0, 0, fmt.Errorf("read: %w", err)
	}
	if n == 0 {
		return 0, 0, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return 0, 0, fmt.Errorf("read the stamp: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return n, int64(binary.NativeEndian.Uint64(m.Data))*int64(time.Second) +
				int64(binary.NativeEndian.Uint64(m.Data[8:])), nil // #nosec G115 -- the kernel's own numbers
		}
	}
	return n, time.Now().UnixNano(), nil
}

func (s *Server) arrived(ctx context.Context, stamp int64) {
	s.mu.Lock()
	s.arrivals = append(s.arrivals, stamp)
	s.mu.Unlock()
	if s.config.Stall > 0 {
		s.first.Do(func() { time.AfterFunc(s.config.StallAfter, func() { s.stall(ctx) }) })
	}
}

func (s *Server) stall(ctx context.Context) {
	s.answering.Lock()
	defer s.answering.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(s.config.Stall):
	}
}
