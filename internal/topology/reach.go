package topology

import (
	"net/netip"
	"strings"
)

// Unreachable returns why no other node can reach the address, as a noun such as "a loopback address". The result is
// empty for an address that may be a target: a unicast address that is not bound to one link.
func Unreachable(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "no address"
	case a.Is4In6():
		return "an IPv4-mapped address"
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a.IsLinkLocalUnicast(), a.Zone() != "":
		return "a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	case a.Is4() && a.As4()[0] == 0:
		return "an address of this network alone (0.0.0.0/8)"
	}
	return ""
}

// UnreachableName returns what the host name is, as a noun, when it means the asker itself; it is empty for every other
// name.
func UnreachableName(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return "a name of the asker itself"
	}
	return ""
}
