package plan

import (
	"net/netip"
	"testing"
)

func valid() Settings {
	return Settings{Name: "lab", Nodes: 3, Families: DualStack, Overlay: OverlayVXLAN, ProxyMode: ProxyNFTables}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		ok     bool
	}{
		"the defaults are possible":             {func(*Settings) {}, true},
		"no node is an API server alone":        {func(s *Settings) { s.Nodes = 0 }, true},
		"a negative number of nodes is refused": {func(s *Settings) { s.Nodes = -1 }, false},
		"too many nodes are refused":            {func(s *Settings) { s.Nodes = MaxNodes + 1 }, false},
		"an unknown family is refused":          {func(s *Settings) { s.Families = "ipv5" }, false},
		"an unknown overlay is refused":         {func(s *Settings) { s.Overlay = "geneve" }, false},
		"an unknown proxy mode is refused":      {func(s *Settings) { s.ProxyMode = "ipvs" }, false},
		"an empty name is refused":              {func(s *Settings) { s.Name = "" }, false},
		"a name that leaves its folder is not":  {func(s *Settings) { s.Name = "../x" }, false},
		"a long name is refused":                {func(s *Settings) { s.Name = "aaaaaaaaaaaaaaaaaaaaaaaaa" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := valid()
			c.change(&s)
			if err := s.Validate(); (err == nil) != c.ok {
				t.Errorf("Validate() = %v, want success %v", err, c.ok)
			}
		})
	}
}

func TestAddressesDoNotMeet(t *testing.T) {
	s := valid()
	s.Nodes = MaxNodes
	ranges := append(s.Services(), s.Pools()...)
	hosts := map[netip.Addr]string{}
	for _, n := range s.ClusterNodes() {
		ranges = append(ranges, n.Pods...)
		for _, r := range n.Second {
			if !r.Subnet.Contains(r.Start) || !r.Subnet.Contains(r.End) || !r.Start.Less(r.End) {
				t.Errorf("%s: range %v is not in order", n.Name, r)
			}
		}
		for _, a := range n.Addresses {
			if other, taken := hosts[a.Addr()]; taken {
				t.Errorf("%s and %s have the address %s", n.Name, other, a)
			}
			hosts[a.Addr()] = n.Name
		}
	}
	for i, a := range ranges {
		for _, b := range ranges[i+1:] {
			if a.Overlaps(b) {
				t.Errorf("%s and %s overlap", a, b)
			}
		}
		for host := range hosts {
			if a.Contains(host) {
				t.Errorf("%s holds the node address %s", a, host)
			}
		}
	}
}

func TestFamilies(t *testing.T) {
	for families, want := range map[string]struct {
		server string
		mtu    int
		pods   string
	}{
		DualStack: {"198.18.0.10:6443", 1450, "198.19.0.0/24,fd98:19::/64"},
		IPv4Only:  {"198.18.0.10:6443", 1450, "198.19.0.0/24"},
		IPv6Only:  {"[fd98:18::10]:6443", 1430, "fd98:19::/64"},
	} {
		s := valid()
		s.Families = families
		if got := s.APIServer().String(); got != want.server {
			t.Errorf("%s: API server at %s, want %s", families, got, want.server)
		}
		if got := s.PodMTU(); got != want.mtu {
			t.Errorf("%s: MTU %d, want %d", families, got, want.mtu)
		}
		if got := Join(s.ClusterNodes()[0].Pods); got != want.pods {
			t.Errorf("%s: pods %s, want %s", families, got, want.pods)
		}
	}
}

func TestDifferencesNameTheFlag(t *testing.T) {
	other := valid()
	if got := valid().Differences(other); len(got) != 0 {
		t.Errorf("same settings differ: %v", got)
	}
	other.Nodes, other.Overlay = 1, OverlayNone
	if got := valid().Differences(other); len(got) != 2 || got[0] != "--nodes is 3, not 1" {
		t.Errorf("differences %q", got)
	}
}
