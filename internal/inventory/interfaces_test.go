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
	cases := []struct {
		name, text string
		want       []topology.Interface
		wrong      bool
	}{
		{name: "both families of a network are kept", text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1","fd98:64::1"]}]`, want: lan("198.18.64.1", "fd98:64::1")},
		{name: "the default network is left out", text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"],"default":true}]`},
		{name: "a network with the pod's own address is left out", text: `[{"name":"lan","interface":"net1","ips":["198.19.0.2"]}]`},
		{name: "a network without addresses is left out", text: `[{"name":"lan","interface":"net1"}]`},
		{name: "addresses that others cannot reach are left out", text: `[{"name":"lan","interface":"net1","ips":["fe80::1","127.0.0.1","::","224.0.0.1","198.18.64.1"]}]`, want: lan("198.18.64.1")},
		{name: "an empty list has no interfaces", text: `[]`},
		{name: "text that is not JSON is refused", text: `[{`, wrong: true},
		{name: "an address that is none refuses the whole", text: `[{"ips":["198.18.64.1"]},{"ips":["host"]}]`, wrong: true},
		{name: "an address with a zone is refused", text: `[{"ips":["fe80::1%eth0"]}]`, wrong: true},
		{name: "a text that is too long is refused", text: strings.Repeat(" ", maxStatusBytes+1), wrong: true},
		{name: "too many entries are refused", text: "[" + strings.TrimSuffix(strings.Repeat("{},", maxAttachments+1), ",") + "]", wrong: true},
		{name: "too many addresses are refused", text: `[{"ips":["198.18.64.1"` + strings.Repeat(`,"198.18.64.1"`, maxAttachmentIPs) + `]}]`, wrong: true},
		{name: "several networks are kept, each with its device", text: `[{"name":"lan","interface":"net1","ips":["198.18.64.1"]},{"name":"lan","interface":"net2","ips":["198.18.65.1"]}]`,
			want: append(lan("198.18.64.1"), topology.Interface{Network: "lan", Name: "net2", Addresses: []netip.Addr{netip.MustParseAddr("198.18.65.1")}})},
		{name: "a name that is no text is refused", text: `[{"interface":"net1\u0007","ips":["198.18.64.1"]}]`, wrong: true},
		{name: "a name that is too long is refused", text: `[{"name":"` + strings.Repeat("x", maxAttachmentName+1) + `"}]`, wrong: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseInterfaces(c.text, own)
			if (err != nil) != c.wrong {
				t.Fatalf("error is %v; want one: %v", err, c.wrong)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("interfaces (-want +got):\n%s", diff)
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
		interfaces, err := parseInterfaces(text, own)
		if err != nil && interfaces != nil {
			t.Fatal("an error came with interfaces")
		}
		if len(interfaces) > maxAttachments {
			t.Fatalf("%d interfaces, more than %d", len(interfaces), maxAttachments)
		}
		for _, i := range interfaces {
			if len(i.Name) > maxAttachmentName || strings.ContainsFunc(i.Name, unicode.IsControl) || !utf8.ValidString(i.Name) {
				t.Fatalf("interface is named %q", i.Name)
			}
			if len(i.Addresses) == 0 || len(i.Addresses) > maxAttachmentIPs {
				t.Fatalf("interface has %d addresses", len(i.Addresses))
			}
			if slices.ContainsFunc(i.Addresses, func(a netip.Addr) bool { return !a.IsGlobalUnicast() || slices.Contains(own, a) || a.Is4In6() }) {
				t.Fatalf("interface has an address that is no target: %v", i.Addresses)
			}
		}
	})
}
