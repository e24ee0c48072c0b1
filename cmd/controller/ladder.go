package main

import (
	"net/netip"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/internal/inventory"
)

// ladder is what snapshots have for the ladder of paths. The API server's address is what Kubernetes tells every pod.
func (o *options) ladder(env func(string) string) inventory.Ladder {
	l := inventory.Ladder{Hosts: o.hostAgents}
	if namespace, name, ok := strings.Cut(o.dns, "/"); ok {
		l.DNSNamespace, l.DNSService = namespace, name
	}
	host, err := netip.ParseAddr(env("KUBERNETES_SERVICE_HOST"))
	port, wrong := strconv.ParseUint(env("KUBERNETES_SERVICE_PORT"), 10, 16)
	if err == nil && wrong == nil {
		l.APIServer = netip.AddrPortFrom(host, uint16(port))
	}
	return l
}
