package inventory

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/topology"
)

// addressed returns a set of addresses with ports.
func addressed(texts ...string) map[netip.AddrPort]bool {
	all := map[netip.AddrPort]bool{}
	for _, text := range texts {
		all[netip.MustParseAddrPort(text)] = true
	}
	return all
}

func TestAnAddressThatAServiceNoLongerLeadsToIsRememberedForAsLongAsKernelsTrackIt(t *testing.T) {
	const a, b = "192.0.2.1:80", "192.0.2.2:80"
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	var d departed
	for _, step := range []struct {
		name    string
		after   time.Duration
		service string
		led     map[netip.AddrPort]bool
		ours    map[netip.Addr]bool
		want    []string
	}{
		{"the first look knows nothing", 0, "web", addressed(a, b), nil, nil},
		{"one went", 10 * time.Second, "web", addressed(a), nil, []string{b}},
		{"another Service never had it", 10 * time.Second, "other", addressed(a), nil, nil},
		{"a pod still has it", 20 * time.Second, "web", addressed(a),
			map[netip.Addr]bool{netip.MustParseAddr("192.0.2.2"): true}, nil},
		{"both went", 30 * time.Second, "web", nil, nil, []string{a, b}},
		{"one came back", 40 * time.Second, "web", addressed(b), nil, []string{a}},
		{"two minutes after the other was seen last", 20*time.Second + topology.TrackedFor, "web", addressed(b), nil,
			[]string{a}},
		{"and later", 21*time.Second + topology.TrackedFor, "web", addressed(b), nil, nil},
	} {
		got := d.note(step.service, start.Add(step.after), step.led, step.ours)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestAServiceThatNobodyAsksAboutIsForgotten(t *testing.T) {
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	var d departed
	d.note("web", start, addressed("192.0.2.1:80"), nil)
	d.note("other", start.Add(time.Second+topology.TrackedFor), addressed("192.0.2.1:80"), nil)
	if len(d.services) != 1 || d.services["other"] == nil {
		t.Errorf("%d Services are remembered, want the one that was asked about", len(d.services))
	}
}
