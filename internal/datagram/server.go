package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Listen opens the UDP port on all addresses, with a socket for each family that the machine has.
func Listen(ctx context.Context, port int) ([]net.PacketConn, error) {
	var all []net.PacketConn
	var failures []error
	for _, network := range []string{"udp4", "udp6"} {
		config := net.ListenConfig{Control: neverFragment}
		conn, err := config.ListenPacket(ctx, network, fmt.Sprintf(":%d", port))
		if err != nil {
			failures = append(failures, fmt.Errorf("listen: %w", err))
			continue
		}
		all = append(all, conn)
	}
	if len(all) == 0 {
		return nil, errors.Join(failures...)
	}
	return all, nil
}

// Serve answers requests on all sockets as the pod, until the context ends, and closes the sockets. Answers leave from
// the address that was asked, whatever addresses the machine has.
func Serve(ctx context.Context, sockets []net.PacketConn, pod string) error {
	stop := context.AfterFunc(ctx, func() {
		for _, s := range sockets {
			_ = s.Close() // nothing is written any more
		}
	})
	defer stop()
	var all sync.WaitGroup
	failures := make([]error, len(sockets))
	for i, s := range sockets {
		all.Go(func() { failures[i] = serve(wrap(s), pod) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(failures...)
}

// socket reads datagrams, and answers from the address to which they were sent.
type socket interface {
	read(b []byte) (n int, to net.IP, from net.Addr, err error)
	write(b []byte, from net.IP, to net.Addr) error
}

func serve(s socket, pod string) error {
	buffer := make([]byte, MaxBytes+1)
	for {
		n, to, from, err := s.read(buffer)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// The kernel tells of an earlier answer that could not be delivered.
			continue
		}
		if Answer(buffer[:n], pod) != nil {
			continue
		}
		_ = s.write(buffer[:n], to, from) // whoever asked sees that no answer came
	}
}

// wrap returns the socket for the family of its address.
func wrap(conn net.PacketConn) socket {
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok && a.IP.To4() != nil {
		s := ipv4.NewPacketConn(conn)
		_ = s.SetControlMessage(ipv4.FlagDst, true) // without it answers leave from the route's own address
		return socket4{s}
	}
	s := ipv6.NewPacketConn(conn)
	_ = s.SetControlMessage(ipv6.FlagDst, true) // as above
	return socket6{s}
}

type socket4 struct{ *ipv4.PacketConn }

func (s socket4) read(b []byte) (n int, to net.IP, from net.Addr, err error) {
	n, control, from, err := s.ReadFrom(b)
	if control != nil {
		to = control.Dst
	}
	return n, to, from, err
}

func (s socket4) write(b []byte, from net.IP, to net.Addr) error {
	_, err := s.WriteTo(b, &ipv4.ControlMessage{Src: from}, to)
	return err
}

type socket6 struct{ *ipv6.PacketConn }

func (s socket6) read(b []byte) (n int, to net.IP, from net.Addr, err error) {
	n, control, from, err := s.ReadFrom(b)
	if control != nil {
		to = control.Dst
	}
	return n, to, from, err
}

func (s socket6) write(b []byte, from net.IP, to net.Addr) error {
	_, err := s.WriteTo(b, &ipv6.ControlMessage{Src: from}, to)
	return err
}

// Dial opens a connected UDP socket whose packets are never fragmented. A source port of 0 is any.
func Dial(ctx context.Context, to netip.AddrPort, sourcePort uint16) (net.Conn, error) {
	network := "udp4"
	if to.Addr().Is6() && !to.Addr().Is4In6() {
		network = "udp6"
	}
	dialer := net.Dialer{Control: neverFragment}
	if sourcePort != 0 {
		dialer.LocalAddr = &net.UDPAddr{Port: int(sourcePort)}
	}
	return dialer.DialContext(ctx, network, to.String())
}
