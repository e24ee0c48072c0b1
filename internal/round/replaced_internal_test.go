package round

import (
	"testing"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestWhatIsOfANameServerThatIsReplacedDoesNotCount(t *testing.T) {
	for _, c := range []struct {
		name string
		// later are the servers that stay, by a later snapshot.
		later    []string
		replaced bool
	}{
		{"it stays", []string{"dns-1", "dns-2"}, false},
		{"it is replaced", []string{"dns-2", "dns-3"}, true},
		{"all are gone", []string{}, true},
		{"nobody could read which there are", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			climbed := &climb{around: around{snapshot: topology.Snapshot{
				DNS: []topology.DNSServer{{Pod: "dns-1", Node: "n1"}}}}}
			climbed.compare(topology.Snapshot{DNSPods: c.later})
			for _, o := range []ladder.Observation{
				{Rung: ladder.DNSPod, From: "n0", To: "n1", Service: "dns-1"},
				{Rung: ladder.DNSService, From: "n0"},
			} {
				if got := climbed.replaced.touches(&o); got != c.replaced {
					t.Errorf("%s is left out: %v, want %v", o.Rung, got, c.replaced)
				}
			}
			other := ladder.Observation{Rung: ladder.PodToPod, From: "n0", To: "n1"}
			if climbed.replaced.touches(&other) {
				t.Error("probes between pods are left out")
			}
		})
	}
}
