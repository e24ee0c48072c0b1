package main

import (
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/inventory"
)

func TestTheLadderIsWhatFlagsAndKubernetesSay(t *testing.T) {
	inside := map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
	api := netip.MustParseAddrPort("10.96.0.1:443")
	for name, c := range map[string]struct {
		hosts, dns string
		env        map[string]string
		want       inventory.Ladder
	}{
		"in a cluster": {"hosts", "kube-system/kube-dns", inside, inventory.Ladder{Hosts: "hosts",
			DNSNamespace: "kube-system", DNSService: "kube-dns", APIServer: api}},
		"without DNS":       {"", "", inside, inventory.Ladder{APIServer: api}},
		"outside a cluster": {"", "", nil, inventory.Ladder{}},
		"with a name for the API server": {"", "", map[string]string{"KUBERNETES_SERVICE_HOST": "api.example.org",
			"KUBERNETES_SERVICE_PORT": "443"}, inventory.Ladder{}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{hostAgents: c.hosts, dns: c.dns}
			if got := o.ladder(func(key string) string { return c.env[key] }); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
