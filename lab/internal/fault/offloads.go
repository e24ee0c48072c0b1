package fault

import (
	"context"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offloads switches off that an interface leaves checksums to its peer.
type Offloads struct {
	In   Namespace `json:"in"`
	Link string    `json:"link"`
	// Was is 1 if checksums were left to the peer, else 0.
	Was uint32 `json:"was"`
}

func (o *Offloads) where() Namespace { return o.In }

func (o *Offloads) prepare(context.Context, tools) error {
	was, err := o.ask(unix.ETHTOOL_GTXCSUM, 0)
	o.Was = was
	return err
}

func (o *Offloads) do(context.Context, tools) error {
	_, err := o.ask(unix.ETHTOOL_STXCSUM, 0)
	return err
}

func (o *Offloads) undo(context.Context, tools) error {
	_, err := o.ask(unix.ETHTOOL_STXCSUM, o.Was)
	return err
}

func (o *Offloads) left(context.Context, tools) ([]string, error) {
	now, err := o.ask(unix.ETHTOOL_GTXCSUM, 0)
	if err != nil || now == o.Was {
		return nil, err
	}
	return []string{fmt.Sprintf("%s: %s has checksum offload %d, was %d", o.In, o.Link, now, o.Was)}, nil
}

// ask makes a request about the interface to the kernel's ethtool interface and returns the value that comes back.
func (o *Offloads) ask(command, value uint32) (uint32, error) {
	question := struct{ Command, Value uint32 }{command, value}
	request := struct {
		Name [unix.IFNAMSIZ]byte
		Data unsafe.Pointer
		_    [16]byte
	}{Data: unsafe.Pointer(&question)} // #nosec G103 -- the kernel's interface takes a pointer
	copy(request.Name[:unix.IFNAMSIZ-1], o.Link)
	err := o.In.inside(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("ask for the offloads of %s: %w", o.Link, err)
		}
		defer func() { _ = unix.Close(fd) }()
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL,
			uintptr(unsafe.Pointer(&request))); errno != 0 { // #nosec G103 -- as above
			return fmt.Errorf("change the offloads of %s: %w", o.Link, errno)
		}
		return nil
	})
	return question.Value, err
}
