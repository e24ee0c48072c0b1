package hold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The kernel's numbers of the netlink interface of netfilter queues, as far as golang.org/x/sys does not have them.
const (
	messagePacket  = 0
	messageVerdict = 1
	messageConfig  = 2

	configCommand   = 1
	configParams    = 2
	configMaxLength = 3
	configMask      = 4
	configFlags     = 5
	commandBind     = 1
	copyMetadata    = 1
	flagFailOpen    = 1
	flagLargePieces = 4

	attributePacket  = 1
	attributeVerdict = 2
	verdictAccept    = 1

	// familyHeader is the length of the header that follows netlink's own.
	familyHeader = 4
)

// queue is a netfilter queue of this network namespace.
type queue struct {
	fd     int
	number uint16
	buffer []byte
}

// maxHeld is how many packets the kernel keeps in the queue; more pass at once.
const maxHeld = 65536

// open binds to a queue. Packets that come while it is full pass at once.
func open(number int) (*queue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter queue %d: %w", number, err)
	}
	q := &queue{fd: fd, number: uint16(number), buffer: make([]byte, 1<<17)} //nolint:gosec // Validate bounds it.
	if err := q.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("open netfilter queue %d: %w", number, err), q.close())
	}
	return q, nil
}

func (q *queue) configure() error {
	if err := unix.Bind(q.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	// A burst that the buffer cannot take is lost, as in a real queue that is full.
	if err := unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<23); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(q.fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return err
	}
	// Reads end now and then, so that the reader sees that the queue is closed.
	if err := unix.SetsockoptTimeval(q.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO,
		&unix.Timeval{Usec: 200_000}); err != nil {
		return err
	}
	flags := binary.BigEndian.AppendUint32(nil, flagFailOpen|flagLargePieces)
	for _, attributes := range [][]byte{
		attribute(configCommand, []byte{commandBind, 0, 0, 0}),
		attribute(configParams, []byte{0, 0, 0, 0, copyMetadata}),
		attribute(configMaxLength, binary.BigEndian.AppendUint32(nil, maxHeld)),
		append(attribute(configMask, flags), attribute(configFlags, flags)...),
	} {
		if err := q.ask(attributes); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a setting and waits until the kernel has taken it over.
func (q *queue) ask(attributes []byte) error {
	if err := q.send(messageConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK, attributes); err != nil {
		return err
	}
	for {
		messages, err := q.receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
				continue
			}
			//nolint:gosec // The kernel writes a negative number of an error, or 0.
			if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
				return syscall.Errno(-code)
			}
			return nil
		}
	}
}

func (q *queue) send(kind uint16, flags int, attributes []byte) error {
	const headers = unix.SizeofNlMsghdr + familyHeader
	message := make([]byte, headers, headers+len(attributes))
	binary.NativeEndian.PutUint32(message[0:], uint32(headers+len(attributes))) //nolint:gosec // It is short.
	binary.NativeEndian.PutUint16(message[4:], unix.NFNL_SUBSYS_QUEUE<<8|kind)
	binary.NativeEndian.PutUint16(message[6:], uint16(flags)) //nolint:gosec // Flags have 16 bits.
	binary.BigEndian.PutUint16(message[unix.SizeofNlMsghdr+2:], q.number)
	return unix.Sendto(q.fd, append(message, attributes...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (q *queue) receive() ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(q.fd, q.buffer, 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(q.buffer[:n])
}

// next returns the ids of packets that came; none if nothing came for a while.
func (q *queue) next() ([]uint32, error) {
	messages, err := q.receive()
	if err != nil {
		return nil, fmt.Errorf("read netfilter queue %d: %w", q.number, err)
	}
	var ids []uint32
	for _, m := range messages {
		if m.Header.Type != unix.NFNL_SUBSYS_QUEUE<<8|messagePacket || len(m.Data) < familyHeader {
			continue
		}
		if id, ok := packetID(m.Data[familyHeader:]); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// packetID finds a packet's id among the attributes of a message.
func packetID(attributes []byte) (uint32, bool) {
	const header = unix.SizeofNlAttr
	for len(attributes) >= header {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < header || length > len(attributes) {
			return 0, false
		}
		if binary.NativeEndian.Uint16(attributes[2:]) == attributePacket && length >= header+4 {
			return binary.BigEndian.Uint32(attributes[header:]), true
		}
		attributes = attributes[min(aligned(length), len(attributes)):]
	}
	return 0, false
}

func (q *queue) release(id uint32) error {
	verdict := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, verdictAccept), id)
	err := q.send(messageVerdict, unix.NLM_F_REQUEST, attribute(attributeVerdict, verdict))
	if err != nil {
		return fmt.Errorf("release a packet of netfilter queue %d: %w", q.number, err)
	}
	return nil
}

// close leaves the queue; the kernel drops what is still held.
func (q *queue) close() error { return unix.Close(q.fd) }

// attribute is a netlink attribute of this type.
func attribute(kind uint16, value []byte) []byte {
	length := unix.SizeofNlAttr + len(value)
	out := make([]byte, aligned(length))
	binary.NativeEndian.PutUint16(out, uint16(length)) //nolint:gosec // Values are short.
	binary.NativeEndian.PutUint16(out[2:], kind)
	copy(out[unix.SizeofNlAttr:], value)
	return out
}

// aligned rounds a length up to the alignment of netlink.
func aligned(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }
