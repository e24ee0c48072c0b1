package cloud

import (
	"net/netip"
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("198.18.1.0/30"), netip.MustParsePrefix("fd98:18:1::/112")
	addr := netip.MustParseAddr
	tests := []struct {
		name       string
		pool       netip.Prefix
		asked, has netip.Addr
		taken      []netip.Addr
		want       netip.Addr
		wantErr    bool
	}{
		{name: "the first address of an empty pool is the one after the network's", pool: v4, want: addr("198.18.1.1")},
		{name: "the lowest free address is given", pool: v6,
			taken: []netip.Addr{addr("fd98:18:1::1"), addr("fd98:18:1::3")}, want: addr("fd98:18:1::2")},
		{name: "the broadcast address is never given", pool: v4,
			taken: []netip.Addr{addr("198.18.1.1"), addr("198.18.1.2")}, wantErr: true},
		{name: "an address that the Service has stays", pool: v4, has: addr("198.18.1.2"), want: addr("198.18.1.2")},
		{name: "an address from another pool does not stay", pool: v4, has: addr("198.18.7.2"),
			want: addr("198.18.1.1")},
		{name: "an address that two Services have stays with the other one", pool: v4, has: addr("198.18.1.1"),
			taken: []netip.Addr{addr("198.18.1.1")}, want: addr("198.18.1.2")},
		{name: "an address that is asked for is given", pool: v4, asked: addr("198.18.1.2"), has: addr("198.18.1.1"),
			want: addr("198.18.1.2")},
		{name: "an address asked for in the other family does not matter", pool: v6, asked: addr("198.18.1.2"),
			want: addr("fd98:18:1::1")},
		{name: "an address asked for that is taken is refused", pool: v4, asked: addr("198.18.1.2"),
			taken: []netip.Addr{addr("198.18.1.2")}, wantErr: true},
		{name: "an address asked for outside the pool is refused", pool: v4, asked: addr("198.18.2.2"), wantErr: true},
		{name: "a family without a pool is refused", wantErr: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := choose(tt.pool, tt.asked, tt.has,
				func(a netip.Addr) bool { return slices.Contains(tt.taken, a) })
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("got %v, %v; want %v, error: %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestDifferenceTouchesOnlyThePools(t *testing.T) {
	pools := []netip.Prefix{netip.MustParsePrefix("198.18.1.0/24"), {}}
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	missing, extra := difference(pools, addrs("198.18.0.2", "198.18.1.1", "fd98:18::2"),
		addrs("198.18.1.3", "198.18.1.2", "fd98:18:1::1"))
	if want := addrs("198.18.1.2", "198.18.1.3"); !slices.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	if want := addrs("198.18.1.1"); !slices.Equal(extra, want) {
		t.Errorf("extra %v, want %v", extra, want)
	}
}
