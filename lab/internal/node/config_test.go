package node

import (
	"encoding/json"
	"testing"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/podnet"
	"kdoctor.io/kdoctor/lab/internal/state"
)

func TestNetworkGivesBothInterfacesEveryFamily(t *testing.T) {
	for families, want := range map[string]int{plan.DualStack: 2, plan.IPv4Only: 1, plan.IPv6Only: 1} {
		s := plan.Settings{Name: "x", Nodes: 1, Families: families, Overlay: plan.OverlayVXLAN,
			ProxyMode: plan.ProxyNFTables}
		n := All(Node{Settings: s, State: state.Of("x")})[0]
		data, err := n.network()
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Plugins []json.RawMessage `json:"plugins"`
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		var cfg podnet.Config
		if err := json.Unmarshal(list.Plugins[0], &cfg); err != nil {
			t.Fatal(err)
		}
		if cfg.Type != podnet.Type || cfg.StatusDir != n.State.NetStatus("n0") {
			t.Errorf("%s: plugin %q with notes in %q", families, cfg.Type, cfg.StatusDir)
		}
		for i, name := range []string{"eth0", "net1"} {
			network := cfg.Networks[i]
			ipam, _ := network.Plugin["ipam"].(map[string]any)
			ranges, _ := ipam["ranges"].([]any)
			if network.Interface != name || len(ranges) != want || network.Default != (i == 0) {
				t.Errorf("%s: network %d is %s with %d ranges, default %v", families, i, network.Interface, len(ranges),
					network.Default)
			}
		}
	}
}
