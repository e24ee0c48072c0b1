package inventory

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/topology"
)

func TestParseInterfaces(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("198.19.0.2")}
	lan := func(ips ...string) []topology.Interface {
		i := topology.Interface{Network: "lan", Name: "net1"}
		for _, ip := range ips {
			i.Addresses = append(i.Addresses, netip.MustParseAddr(ip))
		}
		return []topology.Interface{i}
	}
	const cannot, entry = "its network-status annotation cannot be read: ",
		"its network-status annotation has an entry that cannot be read: "
	cases := []struct {
		name, text string
		want       []topology.Interface
		unreadable []string
	}{
		{name: "both families of a network are kept",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1","fd98:64::1"]}]`,
			want: lan("198.18.64.1", "fd98:64::1")},
		{name: "the default network is left out",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"],"default":true}]`},
		{name: "a network with the pod's own address is left out",
			text: `[{"name":"lan","interface":"net1","ips":["198.19.0.2"]}]`},
		{name: "so it is where the address is written as IPv6",
			text: `[{"name":"lan","interface":"net1","ips":["::ffff:198.19.0.2"]}]`},
		{name: "a network without addresses is left out", text: `[{"name":"lan","interface":"net1"}]`},
		{name: "an address that is there twice counts once",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1","198.18.64.1"]}]`, want: lan("198.18.64.1")},
		{name: "addresses that others cannot reach are kept for the targets to tell of",
			text: `[{"name":"lan","interface":"net1","ips":["fe80::1","198.18.64.1"]}]`,
			want: lan("fe80::1", "198.18.64.1")},
		{name: "an empty list has no interfaces", text: `[]`},
		{name: "text that is not JSON is told of", text: `[{`,
			unreadable: []string{cannot + "unexpected end of JSON input"}},
		{name: "an object in place of a list is told of", text: `{"name":"lan"}`,
			unreadable: []string{cannot + "json: cannot unmarshal object into Go value of type []json.RawMessage"}},
		{name: "an invalid address costs itself alone",
			text: `[{"name":"lan","interface":"net1","ips":["host","198.18.64.1"]}]`, want: lan("198.18.64.1"),
			unreadable: []string{entry + `"host" is no IP address`}},
		{name: "an invalid entry costs itself alone",
			text: `[7,{"name":"lan","interface":"net1","ips":["198.18.64.1"]},{"ips":"198.18.64.2"}]`,
			want: lan("198.18.64.1"),
			unreadable: []string{entry + "json: cannot unmarshal number into Go value of type inventory.attachment",
				entry + "json: cannot unmarshal string into Go struct field attachment.ips of type []string"}},
		{name: "an address with a zone is refused", text: `[{"ips":["fe80::1%eth0"]}]`,
			unreadable: []string{entry + `"fe80::1%eth0" is no IP address`}},
		{name: "an address with a prefix length is refused", text: `[{"ips":["198.18.64.1/24"]}]`,
			unreadable: []string{entry + `"198.18.64.1/24" is no IP address`}},
		{name: "a text of the largest size is read", text: strings.Repeat(" ", maxStatusBytes-2) + "[]"},
		{name: "a text that is too long is told of", text: strings.Repeat(" ", maxStatusBytes+1),
			unreadable: []string{cannot + "it has 65537 bytes, more than 65536"}},
		{name: "as many entries as may be are read", text: "[" + strings.Repeat("{},", maxAttachments-1) +
			`{"name":"lan","interface":"net1","ips":["198.18.64.1"]}]`, want: lan("198.18.64.1")},
		{name: "one entry more is told of, and the others are read",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"]}` + strings.Repeat(",{}", maxAttachments) +
				"]", want: lan("198.18.64.1"),
			unreadable: []string{"its network-status annotation has 65 entries, and no more than 64 are read"}},
		{name: "as many addresses as may be are read", text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"` +
			strings.Repeat(`,"198.18.64.1"`, maxAttachmentIPs-1) + `]}]`, want: lan("198.18.64.1")},
		{name: "one address more is told of, and the others are read",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"` +
				strings.Repeat(`,"198.18.64.2"`, maxAttachmentIPs) + `]}]`, want: lan("198.18.64.1", "198.18.64.2"),
			unreadable: []string{entry + "it has 17 addresses, and no more than 16 are read"}},
		{name: "several networks are kept, each with its device",
			text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"]},{"name":"lan","interface":"net2","ips":["198.18.65.1"]}]`,
			want: append(lan("198.18.64.1"),
				topology.Interface{Network: "lan", Name: "net2",
					Addresses: []netip.Addr{netip.MustParseAddr("198.18.65.1")}})},
		{name: "a name that is no text costs its entry", text: `[{"interface":"net1\u0007","ips":["198.18.64.1"]}]`,
			unreadable: []string{entry + "a name has characters that are not text"}},
		{name: "a name of the largest length is kept", text: `[{"name":"` + strings.Repeat("x", maxAttachmentName) +
			`","ips":["198.18.64.1"]}]`,
			want: []topology.Interface{{Network: strings.Repeat("x", maxAttachmentName),
				Addresses: []netip.Addr{netip.MustParseAddr("198.18.64.1")}}}},
		{name: "a name that is too long costs its entry", text: `[{"name":"` +
			strings.Repeat("x", maxAttachmentName+1) + `"}]`,
			unreadable: []string{entry + "a name is longer than 253 bytes"}},
		{name: "as many faults as may be are told one by one", text: `[{"ips":["a","b","c","d"]}]`,
			unreadable: []string{entry + `"a" is no IP address`, entry + `"b" is no IP address`, entry +
				`"c" is no IP address`, entry + `"d" is no IP address`}},
		{name: "what is more is counted", text: `[{"ips":["a","b","c","d","e","f"]}]`,
			unreadable: []string{entry + `"a" is no IP address`, entry + `"b" is no IP address`, entry +
				`"c" is no IP address`, entry + `"d" is no IP address`,
				"its network-status annotation has 2 more of such entries"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, unreadable := parseInterfaces(c.text, own)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("interfaces (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unreadable, unreadable); diff != "" {
				t.Errorf("unreadable (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseInterfaces(f *testing.F) {
	f.Add(`[{"name":"lan","interface":"net1","ips":["198.18.64.1","fd98:64::1"],"default":false}]`)
	f.Add(`[{"ips":["::ffff:198.19.0.2"]}]`)
	f.Add(`null`)
	own := []netip.Addr{netip.MustParseAddr("198.19.0.2")}
	f.Fuzz(func(t *testing.T, text string) {
		interfaces, unreadable := parseInterfaces(text, own)
		if len(unreadable) > maxUnreadable+1 {
			t.Fatalf("%d clauses, more than %d", len(unreadable), maxUnreadable+1)
		}
		for _, clause := range unreadable {
			if len(clause) > 2000 || strings.ContainsFunc(clause, unicode.IsControl) || !utf8.ValidString(clause) {
				t.Fatalf("clause %q", clause)
			}
		}
		if len(interfaces) > maxAttachments {
			t.Fatalf("%d interfaces, more than %d", len(interfaces), maxAttachments)
		}
		for _, i := range interfaces {
			if len(i.Name) > maxAttachmentName || strings.ContainsFunc(i.Name, unicode.IsControl) ||
				!utf8.ValidString(i.Name) {
				t.Fatalf("interface is named %q", i.Name)
			}
			if len(i.Addresses) == 0 || len(i.Addresses) > maxAttachmentIPs {
				t.Fatalf("interface has %d addresses", len(i.Addresses))
			}
			if slices.ContainsFunc(i.Addresses,
				func(a netip.Addr) bool { return slices.Contains(own, a.Unmap()) || a.Zone() != "" }) {
				t.Fatalf("interface has an address that is no target: %v", i.Addresses)
			}
		}
	})
}
