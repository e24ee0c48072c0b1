package fault

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFacts(t *testing.T) {
	for name, c := range map[string]struct {
		parse      func(string) string
		line, want string
	}{
		"a link that is up": {linkFact, `5: eth0@if6: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP ` +
			`mode DEFAULT group default qlen 1000\    link/ether aa:bb:cc:00:00:01 brd ff:ff:ff:ff:ff:ff link-netnsid 0`,
			"eth0 up mtu 1500 state UP link/ether aa:bb:cc:00:00:01"},
		"a link that is down": {linkFact, `2: vx0: <BROADCAST,MULTICAST> mtu 1300 qdisc noqueue state DOWN mode DEFAULT ` +
			`group default\    link/ether 02:98:c6:13:01:00 brd ff:ff:ff:ff:ff:ff`,
			"vx0 down mtu 1300 state DOWN link/ether 02:98:c6:13:01:00"},
		"an address": {addressFact, `5: eth0    inet 198.18.0.11/24 scope global eth0\       valid_lft forever`,
			"198.18.0.11/24 dev eth0"},
		"a route of a link without carrier": {routeFact("-4"), "198.18.1.0/24 dev eth0 scope link linkdown",
			"-4 198.18.1.0/24 dev eth0 scope link"},
		"a route with a preference": {routeFact("-6"), "fd98:19:0:2::/64 via fd98:19:0:2:: dev vx0 metric 1024 onlink " +
			"pref medium", "-6 fd98:19:0:2::/64 via fd98:19:0:2:: dev vx0 metric 1024 onlink"},
		"a route of multicast": {routeFact("-6"), "ff00::/8 dev eth0 metric 256 pref medium", ""},
		"a tunnel's entry": {tunnelFact, "02:98:c6:13:02:00 dev vx0 dst 198.18.0.12 self permanent",
			"02:98:c6:13:02:00 dev vx0 dst 198.18.0.12 self permanent"},
		"a group that a link listens to": {tunnelFact, "33:33:00:00:00:01 dev eth0 self permanent", ""},
		"a queue":                        {queueFact, "qdisc tbf 8001: dev eth0 root refcnt 3 burst 3000b", "tbf dev eth0"},
		"a table of a fault":             {tableFact, "table inet fault_hairpin_off", "table inet fault_hairpin_off"},
		"a table of somebody else":       {tableFact, "table ip kube-proxy", ""},
		"an empty line of addresses":     {addressFact, "", ""},
		"an empty line of links":         {linkFact, "", ""},
		"an empty line of queues":        {queueFact, "", ""},
	} {
		if got := c.parse(c.line); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	before := Snapshot{
		"n1": {Links: {"eth0 up", "vethold up"}, Routes: {"-4 default via 198.18.0.1 dev eth0",
			"-4 198.19.1.5 dev vethold scope host"}, Settings: {"/proc/sys/net/ipv4/ip_forward = 1"}},
		"lb":            {Addresses: {"198.18.0.2/24 dev eth0", "198.18.1.1/32 dev eth0"}},
		"pod kdoctor/a": {Links: {"net1 up"}},
	}
	pools := []netip.Prefix{netip.MustParsePrefix("198.18.1.0/24")}
	for name, c := range map[string]struct {
		after Snapshot
		want  []string
	}{
		"nothing has changed": {before, nil},
		"a pod came, another one went, and so did a load balancer": {Snapshot{
			"n1": {Links: {"eth0 up", "vethnew up"}, Routes: {"-4 default via 198.18.0.1 dev eth0",
				"-4 198.19.1.6 dev vethnew scope host"}, Settings: {"/proc/sys/net/ipv4/ip_forward = 1"}},
			"lb": {Addresses: {"198.18.0.2/24 dev eth0", "198.18.1.2/32 dev eth0"}},
		}, nil},
		"a table is left, a route is missing, and a setting differs": {Snapshot{
			"n1": {Links: {"eth0 up", "vethold up"}, Routes: {"-4 198.19.1.5 dev vethold scope host"},
				Settings: {"/proc/sys/net/ipv4/ip_forward = 0"}, Tables: {"table inet fault_x"}},
			"lb": {Addresses: {"198.18.0.2/24 dev eth0", "198.18.1.1/32 dev eth0"}},
		}, []string{
			"n1: routes: missing: -4 default via 198.18.0.1 dev eth0",
			"n1: settings: missing: /proc/sys/net/ipv4/ip_forward = 1",
			"n1: settings: new: /proc/sys/net/ipv4/ip_forward = 0",
			"n1: tables of faults: new: table inet fault_x",
		}},
		"the link of a pod that lives is down": {Snapshot{
			"n1": {Links: {"eth0 up", "vethold down"}, Routes: {"-4 default via 198.18.0.1 dev eth0",
				"-4 198.19.1.5 dev vethold scope host"}, Settings: {"/proc/sys/net/ipv4/ip_forward = 1"}},
		}, []string{"n1: links: missing: vethold up", "n1: links: new: vethold down"}},
	} {
		if diff := cmp.Diff(c.want, compare(before, c.after, pools)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestRestoring(t *testing.T) {
	was := Facts{
		Addresses:  {"fd98:18::11/64 dev eth0", "fe80::1/64 dev eth0", "198.18.0.11/24 dev eth0"},
		Neighbours: {"198.19.2.0 dev vx0 lladdr 02:98:c6:13:02:00 PERMANENT", "198.18.1.9 dev eth0 proxy"},
		Tunnels:    {"02:98:c6:13:02:00 dev vx0 dst 198.18.0.12 self permanent"},
		Routes:     {"-4 default via 198.18.0.1 dev eth0", "-6 default via fd98:18::1 dev eth0 metric 1024"},
	}
	now := Facts{Addresses: {"198.18.0.11/24 dev eth0"}, Routes: {"-4 default via 198.18.0.1 dev eth0"}}
	want := [][]string{
		words("ip addr add fd98:18::11/64 dev eth0 nodad"),
		words("ip neigh replace 198.19.2.0 dev vx0 lladdr 02:98:c6:13:02:00 nud permanent"),
		words("bridge fdb replace 02:98:c6:13:02:00 dev vx0 dst 198.18.0.12 self permanent"),
		words("ip -6 route add default via fd98:18::1 dev eth0 metric 1024"),
	}
	if diff := cmp.Diff(want, restoring(was, now)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseCgroup(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want Cgroup
		ok   bool
	}{
		"version 1": {"4:memory:/pods/m\n3:cpu,cpuacct:/pods/c\n0::/x\n", Cgroup{Path: cgroups + "/cpu/pods/c"}, true},
		"version 2": {"0::/pods/u\n", Cgroup{Path: cgroups + "/pods/u", Unified: true}, true},
		"none":      {"4:memory:/pods/m\n", Cgroup{}, false},
	} {
		got, err := parseCgroup(c.list)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestAddressesForFaults(t *testing.T) {
	if got := deadAddress(netip.MustParsePrefix("198.19.1.0/24")).String(); got != "198.19.1.250" {
		t.Errorf("no pod has %s; want 198.19.1.250", got)
	}
	if got := deadAddress(netip.MustParsePrefix("fd98:19:0:1::/64")).String(); got != "fd98:19:0:1::fffa" {
		t.Errorf("no pod has %s; want fd98:19:0:1::fffa", got)
	}
	want := []netip.Prefix{netip.MustParsePrefix("198.18.64.0/19"), netip.MustParsePrefix("198.18.96.0/19")}
	if got := halves(netip.MustParsePrefix("198.18.64.0/18")); got[0] != want[0] || got[1] != want[1] {
		t.Errorf("halves are %v, want %v", got, want)
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	path := t.TempDir() + "/faults.json"
	none, err := read(path)
	if err != nil || len(none.Faults) != 0 {
		t.Fatalf("without a file: %+v, %v", none, err)
	}
	want := Record{Before: Snapshot{"n1": {Links: {"eth0 up"}}}, Faults: []Active{{Name: "a-b", On: "n1", Cause: "X",
		Components: []string{"agent"}, Steps: []Step{{Command: &Command{In: Namespace{Host: "x-n1"},
			Do: []string{"ip"}, Undo: []string{"ip", "link"}}}}}}}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Faults[0].Steps[0].Command.Undo[1] != "link" || got.Before["n1"][Links][0] != "eth0 up" ||
		!got.Faults[0].same(want.Faults[0]) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestUnreadyPods(t *testing.T) {
	now := map[string]bool{"a/ready": true, "a/waits": false, "a/new": false}
	if diff := cmp.Diff([]string{"pod a/waits is not ready"}, unready([]string{"a/ready", "a/waits", "a/gone"},
		now)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
