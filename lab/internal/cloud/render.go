package cloud

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// frontend is one address of a Service with everything that is forwarded from it.
type frontend struct {
	Service string // namespace.name
	Address netip.Addr
	Ports   []port
	// Sources limits who may connect; empty means everybody.
	Sources []netip.Prefix
	// HealthPort is the port on which a node says over HTTP whether it has an endpoint of its own; zero checks the node
	// port itself.
	HealthPort uint16
	Nodes      []node
}

type port struct{ Listen, Node uint16 }

type node struct {
	Name    string
	Address netip.Addr
}

// globals is haproxy's configuration without frontends; its arguments are the description, that is the configuration's
// fingerprint by which a reload is recognised, and the control socket. A connection is tried once, on one node: a retry
// would hide a broken node and make the counts of client and server differ. One thread keeps the round robin exact.
const globals = `global
    description %s
    nbthread 1
    maxconn 4000
    stats socket %s mode 600 level admin expose-fd listeners
    hard-stop-after 30s
    log stderr format raw local0 notice

defaults
    mode tcp
    log global
    balance roundrobin
    retries 0
    timeout connect 1s
    timeout check 500ms
    timeout client 10m
    timeout server 10m
    default-server check inter 500ms fall 2 rise 1
`

// render returns haproxy's configuration for the frontends, in whatever order they come.
func render(stateDir string, frontends []frontend) string {
	var b strings.Builder
	sorted := slices.SortedFunc(slices.Values(frontends), func(a, b frontend) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Address.Compare(b.Address))
	})
	for _, f := range sorted {
		for _, p := range f.Ports {
			renderPort(&b, f, p)
		}
	}
	body := b.String()
	return fmt.Sprintf(globals, fingerprint(body), socketPath(stateDir)) + body
}

func renderPort(b *strings.Builder, f frontend, p port) {
	family := "v4"
	if f.Address.Is6() {
		family = "v6"
	}
	fmt.Fprintf(b, "\nlisten %s.%d.%s\n", f.Service, p.Listen, family)
	fmt.Fprintf(b, "    bind %s\n", netip.AddrPortFrom(f.Address, p.Listen))
	if len(f.Sources) > 0 {
		fmt.Fprint(b, "    tcp-request connection reject unless { src")
		for _, s := range f.Sources {
			fmt.Fprintf(b, " %s", s)
		}
		fmt.Fprint(b, " }\n")
	}
	check := ""
	if f.HealthPort != 0 {
		fmt.Fprint(b, "    option httpchk GET /healthz\n    http-check expect status 200\n")
		check = fmt.Sprintf(" port %d", f.HealthPort)
	}
	for _, n := range f.Nodes {
		fmt.Fprintf(b, "    server %s %s%s\n", n.Name, netip.AddrPortFrom(n.Address, p.Node), check)
	}
}

func fingerprint(config string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(config)))[:16]
}

func socketPath(stateDir string) string { return filepath.Join(stateDir, "haproxy.sock") }

// descriptionOf returns the fingerprint that a rendered configuration carries.
func descriptionOf(config string) string {
	_, rest, _ := strings.Cut(config, "    description ")
	description, _, _ := strings.Cut(rest, "\n")
	return description
}
