package nodeport

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// primaryOf returns the node's primary address of the family and whether it has one. As with kube-proxy, the primary
// address is the first InternalIP, or the first address when there is no InternalIP.
func primaryOf(family topology.Family, node topology.Node) (netip.Addr, bool) {
	all := target.Of(family, node.Addresses)
	if internal := internalOf(all, node); len(internal) > 0 {
		return internal[0], true
	}
	if len(all) > 0 {
		return all[0], true
	}
	return netip.Addr{}, false
}

// addressesOf returns the node's addresses of the family that the query asks for.
func addressesOf(q target.Query, node topology.Node) []netip.Addr {
	switch q.NodeAddresses {
	case target.AllAddresses:
		return target.Of(q.Family, node.Addresses)
	case target.InternalAddresses:
		return internalOf(target.Of(q.Family, node.Addresses), node)
	default:
		if primary, ok := primaryOf(q.Family, node); ok {
			return []netip.Addr{primary}
		}
		return nil
	}
}

func internalOf(addresses []netip.Addr, node topology.Node) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses),
		func(a netip.Addr) bool { return slices.Contains(node.External, a) })
}

// lacks returns the reason for a node without an address that the query asks for.
func lacks(q target.Query, node topology.Node) string {
	if q.NodeAddresses == target.InternalAddresses {
		return target.Lacks("node "+node.Name, q.Family, "InternalIP", internalOf(node.Addresses, node))
	}
	return target.Lacks("node "+node.Name, q.Family, "address", node.Addresses)
}

// sharedReason returns the reason for an address that several nodes have.
func sharedReason(address string, by []string) string {
	return fmt.Sprintf("nodes %s have the same address %s, so nobody can tell whose node port answers there",
		target.List(by), address)
}

// hostOf returns the address in the target's URL, without brackets.
func hostOf(t target.Target) string {
	host := strings.TrimPrefix(t.Address, "http://")
	return strings.Trim(host[:strings.LastIndex(host, ":")], "[]")
}
