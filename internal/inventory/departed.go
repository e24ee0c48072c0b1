package inventory

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/topology"
)

// departed remembers which addresses each Service led to within the last topology.TrackedFor. The API server does not
// say what was before, so only what earlier snapshots saw is known. The zero value is ready for use.
type departed struct {
	mu       sync.Mutex
	services map[string]*ledBefore
}

// ledBefore is what one Service led to: when each address was seen last, and when any was.
type ledBefore struct {
	seen   map[netip.AddrPort]time.Time
	latest time.Time
}

// note takes over the addresses to which the Service leads now, and returns those to which it does not lead any more,
// sorted. An address that a pod of ours still has is left out: who is led there is answered.
func (d *departed) note(service string, now time.Time, led map[netip.AddrPort]bool,
	ours map[netip.Addr]bool) (gone []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	before, ok := d.services[service]
	if !ok {
		if d.services == nil {
			d.services = map[string]*ledBefore{}
		}
		before = &ledBefore{seen: map[netip.AddrPort]time.Time{}}
		d.services[service] = before
	}
	before.latest = now
	for address := range led {
		before.seen[address] = now
	}
	for address, last := range before.seen {
		switch {
		case now.Sub(last) > topology.TrackedFor:
			delete(before.seen, address)
		case !led[address] && !ours[address.Addr()]:
			gone = append(gone, inText(address))
		}
	}
	slices.Sort(gone)
	return gone
}

// forget removes Services that nobody has asked about for so long that nothing of them is worth knowing.
func (d *departed) forget(now time.Time) {
	for name, before := range d.services {
		if now.Sub(before.latest) > topology.TrackedFor {
			delete(d.services, name)
		}
	}
}
