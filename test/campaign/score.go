package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

// outcome is one round and what its report names.
type outcome struct {
	Injected []injected `json:"injected"`
	// Disturbed is what happened in the round that breaks nothing; Allowed are the causes of findings that are right
	// then.
	Disturbed string   `json:"disturbed,omitempty"`
	Allowed   []string `json:"allowed,omitempty"`
	// Reported says that there was a report.
	Reported bool   `json:"reported"`
	Result   string `json:"result"`
	// Reasons are why the round failed, one sentence each.
	Reasons  []string                `json:"reasons,omitempty"`
	Findings []systemv1beta1.Finding `json:"findings"`
	Took     time.Duration           `json:"took"`
	// Detected: there is a finding. Right: for each fault, whether its component and place are named by one of the
	// first findings, as many as there are faults; RightOfThree by one of the first three. Cause: whether its cause is
	// named.
	Detected            bool
	Right, RightOfThree []bool
	Cause               []bool
}

// mostRanked is how many findings count for RightOfThree.
const mostRanked = 3

// judge fills in what the report says.
func (o outcome) judge(report *systemv1beta1.KdoctorReport, reported bool) outcome {
	faults := o.Injected
	o.Reported = reported
	if reported {
		o.Findings = report.Spec.Findings
		o.Result = "pass"
		if slices.Contains(report.Spec.FailedRoundNumber, report.Spec.ReportRoundNumber) {
			o.Result, o.Reasons = "fail", report.Spec.FailedReasons
		}
	}
	o.Detected = len(o.Findings) > 0
	first := o.Findings[:min(len(o.Findings), max(len(faults), 1))]
	three := o.Findings[:min(len(o.Findings), max(mostRanked, len(faults)))]
	for _, f := range faults {
		o.Right = append(o.Right, slices.ContainsFunc(first, f.named))
		o.RightOfThree = append(o.RightOfThree, slices.ContainsFunc(three, f.named))
		o.Cause = append(o.Cause, slices.ContainsFunc(first, f.explained))
	}
	return o
}

// alarm reports whether the round fails or names something although nothing is broken. A round in which a finding is
// right may fail.
func (o outcome) alarm() bool {
	if len(o.Injected) > 0 {
		return false
	}
	return o.Result == "fail" && len(o.Allowed) == 0 || slices.ContainsFunc(o.Findings,
		func(f systemv1beta1.Finding) bool { return !slices.Contains(o.Allowed, f.Cause) })
}

// beside returns how many findings name none of the faults that were injected.
func (o outcome) beside() (n int) {
	for _, found := range o.Findings {
		if !slices.ContainsFunc(o.Injected, func(f injected) bool { return f.named(found) }) {
			n++
		}
	}
	return n
}

// name says what was done to the cluster.
func (o outcome) name() string {
	switch {
	case o.Disturbed != "":
		return o.Disturbed
	case len(o.Injected) == 0:
		return "healthy"
	}
	var all []string
	for _, f := range o.Injected {
		all = append(all, f.Fault.Name)
	}
	return strings.Join(all, " + ")
}

// named reports whether the finding names the fault's component, alone or in a group, and its place.
func (f injected) named(found systemv1beta1.Finding) bool {
	parts := strings.Split(found.Component, " or ")
	for _, c := range parts {
		// Where a zone has one node, the link between zones is the link between nodes.
		parts = append(parts, strings.ReplaceAll(c, "nodes", "zones"))
	}
	if !slices.ContainsFunc(f.Fault.Components, func(c string) bool { return slices.Contains(parts, c) }) {
		return false
	}
	switch f.Fault.Place {
	case "node":
		return strings.Contains(found.Where, f.On) || f.anywhere()
	case "pair":
		both := strings.Contains(found.Where, f.On) && strings.Contains(found.Where, f.Peer)
		return both || strings.Contains(found.Where, "zones") || strings.Contains(found.Where, f.On)
	}
	return true
}

// anywhere reports whether the component is one of the whole cluster, whose place is no node.
func (f injected) anywhere() bool {
	return slices.ContainsFunc(f.Fault.Components, func(c string) bool {
		return slices.Contains([]string{"Service endpoints", "Service", "DNS Service", "API server",
			"load balancer"}, c)
	})
}

// alike are causes that the same probes fail for in the same way, so that only a look at the node tells them apart.
// Rows of the same line count as the same cause.
func alike() [][]string {
	return [][]string{
		{"OverlayPortBlocked", "TunnelAddressChanged", "ChecksumWrong"},
		{"ForwardingOff", "ForwardingDropped", "LegacyRules"},
		{"TunnelEntryStale", "OverlayPortBlocked", "PairBlocked"},
		{"NeighbourWrong", "PairBlocked", "ZoneLinkDown"},
		{"EndpointStale", "ConntrackStale"},
		{"ListenerDead", "ListenerDown"},
		{"NotReachable", "AddressNotAnnounced", "BalancerDown", "AddressDuplicate", "RouteMissing", "RouteBlocked",
			"APIServerUnreachable"},
		{"WrongAnswer", "ForeignAnswer", "IngressRuleMissing", "IngressUnavailable", "UpstreamUnreachable"},
		{"AgentFrozen", "BalancerFrozen", "IngressFrozen", "NotReachable"},
		{"ConnectedWithoutReply", "BalancerFrozen", "IngressFrozen", "UpstreamUnreachable"},
		{"DNSServerDown", "DNSServerFrozen", "DNSServerRefuses"},
		{"DNSServiceBroken", "ServiceRulesMissing"},
		{"RouteMissing", "ReversePathFilter"},
		{"DNSSlow", "Delay"},
		{"TCPDropped", "ProtocolFiltered"},
		{"PacketLoss", "FlowsDropped", "RateLimited"},
		{"BackendDown", "BackendUnreachable"},
		{"InterfaceDown", "SecondNetworkBlocked", "ReversePathFilter"},
		{"PathMTUTooSmall", "TunnelMTUTooSmall"},
	}
}

// explained reports whether the finding names the fault and its cause. Of several components that the probes cannot
// tell apart, the one that is broken has to be named with its cause.
func (f injected) explained(found systemv1beta1.Finding) bool {
	if !f.named(found) {
		return false
	}
	return f.causedBy(found.Cause) || slices.ContainsFunc(found.Causes,
		func(c systemv1beta1.ComponentCause) bool {
			one := found
			one.Component = c.Component
			return f.named(one) && f.causedBy(c.Cause)
		})
}

// causedBy reports whether the fault has the cause, or one for which the same probes fail.
func (f injected) causedBy(cause string) bool {
	if cause == "" || cause == f.Fault.Cause {
		return cause != ""
	}
	return slices.ContainsFunc(alike(), func(group []string) bool {
		return slices.Contains(group, cause) && slices.Contains(group, f.Fault.Cause)
	})
}

func header() string {
	return fmt.Sprintf("%-44s %-6s %-9s %-5s %-5s %-5s %6s  %s", "FAULT", "ON", "RESULT", "FIRST", "THREE", "CAUSE",
		"SEC", "NAMED")
}

func (o outcome) row() string {
	on := ""
	if len(o.Injected) > 0 {
		on = strings.TrimSuffix(o.Injected[0].On+"-"+o.Injected[0].Peer, "-")
	}
	named := ""
	for i, f := range o.Findings[:min(len(o.Findings), mostRanked)] {
		if i > 0 {
			named += "; "
		}
		named += fmt.Sprintf("%s @ %s [%s %.2f]", f.Component, f.Where, f.Cause, f.Probability)
	}
	return fmt.Sprintf("%-44s %-6s %-9s %-5s %-5s %-5s %6.1f  %s", o.name(), on, o.Result, marks(o.Right),
		marks(o.RightOfThree), marks(o.Cause), o.Took.Seconds(), named)
}

func marks(all []bool) string {
	text := ""
	for _, yes := range all {
		if yes {
			text += "y"
		} else {
			text += "-"
		}
	}
	return text
}

// goals of the campaign, as shares.
const (
	goalOne   = 0.97
	goalTwo   = 0.93
	goalCause = 0.90
)

// share counts yes among all.
type share struct{ yes, all int }

func (s *share) add(yes bool) {
	s.all++
	if yes {
		s.yes++
	}
}

func (s share) misses(goal float64) bool { return s.all > 0 && float64(s.yes) < goal*float64(s.all) }

func (s share) String() string { return fmt.Sprintf("%d of %d", s.yes, s.all) }

// summarise prints the shares, and returns an error where a goal is missed.
func summarise(all []outcome) error {
	var one, two, three, cause, detected share
	healthy, alarms, unreported, beside := 0, 0, 0, 0
	for _, o := range all {
		if len(o.Injected) == 0 {
			healthy++
			if o.alarm() {
				alarms++
			}
			if !o.Reported {
				unreported++
			}
			continue
		}
		detected.add(o.Detected)
		beside += o.beside()
		for i := range o.Injected {
			if len(o.Injected) > 1 {
				two.add(o.Right[i])
				continue
			}
			one.add(o.Right[i])
			three.add(o.RightOfThree[i])
			cause.add(o.Cause[i])
		}
	}
	fmt.Printf("\ndetected %v; component and place right: first %v (goal %.0f%%), in the first three %v; two at once %v "+
		"(goal %.0f%%); cause %v (goal %.0f%%); findings beside those of the faults: %d; false alarms in %d rounds in "+
		"which nothing was broken: %d; without a report: %d\n", detected, one, 100*goalOne, three, two, 100*goalTwo,
		cause, 100*goalCause, beside, healthy, alarms, unreported)
	if alarms > 0 || unreported > 0 || one.misses(goalOne) || two.misses(goalTwo) || cause.misses(goalCause) {
		return errors.New("a goal is missed")
	}
	return nil
}
