package ladderprobe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kdoctor.io/kdoctor/internal/ladder"
)

// askDNS asks for the API server's name. Any answer of a server counts, also that there is no such name.
func askDNS(ctx context.Context, spec ladder.Spec) attempt {
	config := readResolver()
	server := spec.Address
	if !server.IsValid() {
		if len(config.servers) == 0 {
			return attempt{err: fmt.Errorf("no DNS server is set in %s", resolverFile)}
		}
		server = netip.AddrPortFrom(config.servers[0], 53)
	}
	number := uint16(rand.UintN(1 << 16)) // #nosec G404 G115 -- as above, 16 bits
	query, err := question(number, "kubernetes.default.svc."+config.domain+".")
	if err != nil {
		return attempt{err: err}
	}
	dialer := net.Dialer{}
	if spec.SourcePort != 0 {
		dialer.LocalAddr = &net.UDPAddr{Port: int(spec.SourcePort)}
	}
	conn, err := dialer.DialContext(ctx, "udp", server.String())
	if err != nil {
		return failed(err, false)
	}
	defer func() { _ = conn.Close() }()
	defer until(ctx, conn)()
	began := time.Now()
	if _, err := conn.Write(query); err != nil {
		return failed(err, false)
	}
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return failed(err, false)
		}
		var parser dnsmessage.Parser
		header, err := parser.Start(buffer[:n])
		switch {
		case err != nil || !header.Response:
			return attempt{failure: ladder.BadReply}
		case header.ID != number:
			continue
		case header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError:
			return attempt{failure: ladder.BadReply}
		}
		return attempt{took: time.Since(began)}
	}
}

// question returns a query for the name's IPv4 addresses.
func question(number uint16, name string) ([]byte, error) {
	parsed, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("query for %q: %w", name, err)
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: number, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: parsed, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packed, err := message.Pack()
	if err != nil {
		return nil, fmt.Errorf("query for %q: %w", name, err)
	}
	return packed, nil
}

const resolverFile = "/etc/resolv.conf"

// resolver is what the pod's resolv.conf says: the servers, and the cluster's domain.
type resolver struct {
	servers []netip.Addr
	domain  string
}

func readResolver() resolver {
	text, err := os.ReadFile(resolverFile)
	if err != nil {
		return resolver{domain: defaultDomain}
	}
	return parseResolver(string(text))
}

// defaultDomain is the cluster's domain where nothing says otherwise.
const defaultDomain = "cluster.local"

// parseResolver reads resolv.conf, of which the search list of a pod has "svc." and the cluster's domain.
func parseResolver(text string) resolver {
	r := resolver{domain: defaultDomain}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				r.servers = append(r.servers, a)
			}
		case fields[0] == "search":
			for _, domain := range fields[1:] {
				if rest, ok := strings.CutPrefix(domain, "svc."); ok {
					r.domain = strings.TrimSuffix(rest, ".")
				}
			}
		}
	}
	return r
}
