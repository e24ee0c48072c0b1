package cloud

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link is the network interface that carries the load balancers' addresses.
type link struct{ name string }

// add puts on the interface what is wanted from the pools and not there.
func (l link) add(pools []netip.Prefix, want []netip.Addr) error {
	return l.change(func(on netlink.Link, has []netip.Addr) error {
		missing, _ := difference(pools, has, want)
		var failed []error
		for _, addr := range missing {
			// Nobody else on the fabric can have an address of the pool, and waiting for the kernel to find that out
			// takes seconds.
			if err := netlink.AddrAdd(on, &netlink.Addr{IPNet: hostNet(addr), Flags: unix.IFA_F_NODAD}); err != nil {
				failed = append(failed, fmt.Errorf("add %s to %s: %w", addr, l.name, err))
			}
		}
		return errors.Join(failed...)
	})
}

// prune takes from the interface what belongs to the pools and is not wanted.
func (l link) prune(pools []netip.Prefix, want []netip.Addr) error {
	return l.change(func(on netlink.Link, has []netip.Addr) error {
		_, extra := difference(pools, has, want)
		var failed []error
		for _, addr := range extra {
			if err := netlink.AddrDel(on, &netlink.Addr{IPNet: hostNet(addr)}); err != nil {
				failed = append(failed, fmt.Errorf("remove %s from %s: %w", addr, l.name, err))
			}
		}
		return errors.Join(failed...)
	})
}

func (l link) change(do func(netlink.Link, []netip.Addr) error) error {
	on, err := netlink.LinkByName(l.name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", l.name, err)
	}
	list, err := netlink.AddrList(on, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", l.name, err)
	}
	var has []netip.Addr
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			has = append(has, addr.Unmap())
		}
	}
	return do(on, has)
}

// difference compares the addresses of an interface with those that are wanted, both only as far as they belong to the
// pools.
func difference(pools []netip.Prefix, has, want []netip.Addr) (missing, extra []netip.Addr) {
	ours := func(addr netip.Addr) bool {
		return slices.ContainsFunc(pools, func(p netip.Prefix) bool { return p.IsValid() && p.Contains(addr) })
	}
	for _, addr := range want {
		if ours(addr) && !slices.Contains(has, addr) {
			missing = append(missing, addr)
		}
	}
	for _, addr := range has {
		if ours(addr) && !slices.Contains(want, addr) {
			extra = append(extra, addr)
		}
	}
	slices.SortFunc(missing, netip.Addr.Compare)
	slices.SortFunc(extra, netip.Addr.Compare)
	return missing, extra
}

func hostNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}
}
