// Package fault breaks a lab's networks on purpose, and takes every change back.
//
// A fault plans its steps from what the lab is; the plan is written down before anything is changed. Healing undoes the
// steps of the plan, then compares the lab with what was seen before the first fault.
package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

// Fault is one way to break a lab.
type Fault struct {
	// Name is in lower case, with dashes between words.
	Name string
	// Description is one sentence that says what happens.
	Description string
	// Row is the fault's number in the study of faults, 1 to 68; 0 is a fault that the study does not have.
	Row int
	// Components are the components that a diagnosis may name for the fault: any of them is right.
	Components []string
	// Cause is the cause that a diagnosis ought to name.
	Cause string
	// Aspect is the part of the component's traffic that fails; the zero value is all of it.
	Aspect Aspect
	// Place says which node or nodes a user has to name.
	Place Place
	// Needs are the settings that a lab must have.
	Needs []Need
	// Plan returns the steps that inject the fault. It changes nothing.
	Plan func(ctx context.Context, s *Scene) ([]Step, error)
}

// Aspect is a part of traffic.
type Aspect struct {
	// Family is IPv4 or IPv6, Method is UDP or TCP; empty is any.
	Family string `json:"family,omitempty"`
	Method string `json:"method,omitempty"`
	// Large is full-size packets only.
	Large bool `json:"large,omitempty"`
}

// Place says which nodes a fault is about.
type Place string

// The places.
const (
	// OnNode is one node, OnPair a node and a peer of it, OnLab the whole lab.
	OnNode Place = "node"
	OnPair Place = "pair"
	OnLab  Place = "lab"
)

// NeedsNode reports whether a user has to name a node.
func (f Fault) NeedsNode() bool { return f.Place != OnLab }

// NeedsPeer reports whether a user has to name a peer of the node.
func (f Fault) NeedsPeer() bool { return f.Place == OnPair }

// large is the fault with full-size packets alone as its aspect.
func (f Fault) large() Fault {
	f.Aspect.Large = true
	return f
}

// overTCP is the fault with TCP alone as its aspect.
func (f Fault) overTCP() Fault {
	f.Aspect.Method = "TCP"
	return f
}

// Need is a setting that a lab must have for a fault.
type Need string

// The needs.
const (
	NeedVXLAN Need = "vxlan"
	NeedIPv4  Need = "ipv4"
	NeedIPv6  Need = "ipv6"
	NeedZones Need = "zones"
)

// met reports whether a lab with these settings fulfils the need.
func (n Need) met(s plan.Settings) bool {
	switch n {
	case NeedVXLAN:
		return s.Overlay == plan.OverlayVXLAN
	case NeedIPv4:
		return s.IPv4()
	case NeedIPv6:
		return s.IPv6()
	case NeedZones:
		return s.Nodes > 1
	default:
		return false
	}
}

// suits returns why the fault cannot be injected into a lab with these settings.
func (f Fault) suits(s plan.Settings) error {
	for _, n := range f.Needs {
		if !n.met(s) {
			return fmt.Errorf("fault %s needs a lab with %s", f.Name, n)
		}
	}
	return nil
}

// All returns the table of faults, in the order of the study.
func All() []Fault {
	all := slices.Concat(underlayFaults(), pairFaults(), zoneFaults(), overlayFaults(), podFaults(), serviceFaults(),
		conntrackFaults(), balancerFaults(), ingressFaults(), dnsFaults(), policyFaults(), secondFaults(),
		agentFaults(), heldFaults())
	slices.SortStableFunc(all, func(a, b Fault) int { return order(a.Row) - order(b.Row) })
	return all
}

// order puts faults without a row at the end.
func order(row int) int {
	const last = 1000
	if row == 0 {
		return last
	}
	return row
}

// errUnknown is returned for a name that no fault has.
var errUnknown = errors.New("no fault has this name")

// Find returns the fault of that name.
func Find(name string) (Fault, error) {
	for _, f := range All() {
		if f.Name == name {
			return f, nil
		}
	}
	return Fault{}, fmt.Errorf("fault %q: %w; see: lab fault list", name, errUnknown)
}

// table is the name of the fault's own nftables table.
func tableName(fault string) string { return tablePrefix + strings.ReplaceAll(fault, "-", "_") }

// tablePrefix begins the name of every table that a fault makes.
const tablePrefix = "fault_"
