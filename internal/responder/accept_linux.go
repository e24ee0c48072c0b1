package responder

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/slots"
)

// acceptSome accepts connections that wait, a batch at most. A full shard accepts none.
func (s *shard) acceptSome() {
	for range acceptBatch {
		if s.open >= s.limit || s.stopping {
			return
		}
		size := uint32(unsafe.Sizeof(s.peer))
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.listener),
			uintptr(unsafe.Pointer(&s.peer)), // #nosec G103 -- the kernel fills it
			uintptr(unsafe.Pointer(&size)),   // #nosec G103 -- the kernel fills it
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			i := s.admit(int(fd)) // #nosec G115 -- a descriptor
			// Often the request is there already, and the connection ends with its answer. Then nobody needs to watch
			// it.
			s.receive(i, false)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			// Other threads may release descriptors or memory. Until then the queue would wake this thread without end.
			s.resume = s.now + retryAccept
			return
		default:
			// The connection failed before it was accepted: accept(2) returns the network's errors for it.
		}
	}
}

// admit returns a slot for a new connection.
func (s *shard) admit(fd int) int32 {
	i := s.connections.Acquire()
	c := s.connections.At(i)
	*c = connection{fd: fd, generation: c.generation + 1, delayed: slots.None}
	c.addressLength = uint8(len(appendPeer(c.address[:0], &s.peer))) // #nosec G115 -- it has room for every address
	s.open++
	s.enqueue(i, inRequest)
	return i
}

// appendPeer appends an address and port as net.TCPAddr writes them: an IPv4 client of a socket for both families has
// an IPv4 address.
func appendPeer(b []byte, peer *unix.RawSockaddrAny) []byte {
	switch peer.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(peer)) // #nosec G103 -- the family says what it is
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), port(a.Port)).AppendTo(b)
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(peer)) // #nosec G103 -- the family says what it is
		address := netip.AddrFrom16(a.Addr).Unmap()
		if a.Scope_id != 0 {
			address = address.WithZone(zone(a.Scope_id))
		}
		return netip.AddrPortFrom(address, port(a.Port)).AppendTo(b)
	}
	return b
}

// port converts from the network's byte order.
func port(raw uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&raw)) // #nosec G103 -- two bytes as they lie
	return uint16(b[0])<<8 | uint16(b[1])
}

// zone returns the name of the interface of a link-local address.
func zone(index uint32) string {
	if at, err := net.InterfaceByIndex(int(index)); err == nil {
		return at.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}
