package cloud

import (
	"errors"
	"fmt"
	"net/netip"
)

// lowestFree returns the lowest address of pool that is not taken. The first address and, for IPv4, the last one are
// never given: they would be the network's and the broadcast address on a link of the pool's size.
func lowestFree(pool netip.Prefix, taken func(netip.Addr) bool) (netip.Addr, error) {
	for addr := pool.Masked().Addr().Next(); usable(pool, addr); addr = addr.Next() {
		if !taken(addr) {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("pool %s has no free address", pool)
}

// usable says whether addr may be given to a Service from pool.
func usable(pool netip.Prefix, addr netip.Addr) bool {
	if !pool.IsValid() || !addr.IsValid() || !pool.Contains(addr) || addr == pool.Masked().Addr() {
		return false
	}
	return !addr.Is4() || pool.Contains(addr.Next())
}

// choose returns the address for one family of a Service: the one it asks for, else the one it has, else the lowest
// free one.
func choose(pool netip.Prefix, asked, has netip.Addr, taken func(netip.Addr) bool) (netip.Addr, error) {
	switch {
	case !pool.IsValid():
		return netip.Addr{}, errors.New("the lab has no pool for this family")
	case asked.IsValid() && asked.Is4() == pool.Addr().Is4():
		if !usable(pool, asked) {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %s is not in the pool %s", asked, pool)
		}
		if taken(asked) {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %s belongs to another Service", asked)
		}
		return asked, nil
	case usable(pool, has) && !taken(has):
		return has, nil
	default:
		return lowestFree(pool, taken)
	}
}
