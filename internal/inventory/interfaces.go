package inventory

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"kdoctor.io/kdoctor/internal/topology"
)

// The annotations in which Multus and others of its kind list what they attached to a pod; the second is the older
// name.
const (
	networkStatus      = "k8s.v1.cni.cncf.io/network-status"
	olderNetworkStatus = "k8s.v1.cni.cncf.io/networks-status"
)

// Bounds of the annotation, which anyone who may edit pods can write.
const (
	maxStatusBytes    = 64 << 10
	maxAttachments    = 64
	maxAttachmentIPs  = 16
	maxAttachmentName = 253
)

// maxUnreadable bounds the number of unreadable things that are reported one by one.
const maxUnreadable = 4

// attachment is one entry of the annotation, with the fields that matter here.
type attachment struct {
	Name      string   `json:"name"`
	Interface string   `json:"interface"`
	IPs       []string `json:"ips"`
	Default   bool     `json:"default"`
}

// parseInterfaces reads the annotation. The default network and entries that repeat the pod's own addresses are left
// out.
//
// unreadable has one clause for each thing that cannot be read. Everything else is used.
func parseInterfaces(text string, own []netip.Addr) (interfaces []topology.Interface, unreadable []string) {
	var entries []json.RawMessage
	if len(text) > maxStatusBytes {
		return nil, []string{fmt.Sprintf("its network-status annotation cannot be read: it has %d bytes, more than %d",
			len(text), maxStatusBytes)}
	}
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, []string{"its network-status annotation cannot be read: " + short(err.Error())}
	}
	note := func(format string, args ...any) {
		unreadable = append(unreadable, fmt.Sprintf("its network-status annotation has "+format, args...))
	}
	if len(entries) > maxAttachments {
		note("%d entries, and no more than %d are read", len(entries), maxAttachments)
		entries = entries[:maxAttachments]
	}
	for _, entry := range entries {
		a, faults := parseAttachment(entry)
		for _, fault := range faults {
			note("an entry that cannot be read: %s", fault)
		}
		isOwn := slices.ContainsFunc(a.addresses, func(ip netip.Addr) bool {
			return slices.ContainsFunc(own, func(o netip.Addr) bool { return o.Unmap() == ip.Unmap() })
		})
		if a.isDefault || isOwn || len(a.addresses) == 0 {
			continue
		}
		interfaces = append(interfaces, topology.Interface{Network: a.network, Name: a.device, Addresses: a.addresses})
	}
	if rest := len(unreadable) - maxUnreadable; rest > 0 {
		unreadable = unreadable[:maxUnreadable]
		note("%d more of such entries", rest)
	}
	return interfaces, unreadable
}

// parsedAttachment is what could be read of one entry.
type parsedAttachment struct {
	network, device string
	addresses       []netip.Addr
	isDefault       bool
}

// parseAttachment reads one entry, and returns a clause for each part that cannot be read. An entry whose network or
// device has no valid name is not used at all.
func parseAttachment(entry json.RawMessage) (parsedAttachment, []string) {
	var a attachment
	if err := json.Unmarshal(entry, &a); err != nil {
		return parsedAttachment{}, []string{short(err.Error())}
	}
	if len(a.Name) > maxAttachmentName || len(a.Interface) > maxAttachmentName {
		return parsedAttachment{}, []string{fmt.Sprintf("a name is longer than %d bytes", maxAttachmentName)}
	}
	if strings.ContainsFunc(a.Name+a.Interface,
		func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return parsedAttachment{}, []string{"a name has characters that are not text"}
	}
	var faults []string
	if len(a.IPs) > maxAttachmentIPs {
		faults = append(faults,
			fmt.Sprintf("it has %d addresses, and no more than %d are read", len(a.IPs), maxAttachmentIPs))
		a.IPs = a.IPs[:maxAttachmentIPs]
	}
	p := parsedAttachment{network: a.Name, device: a.Interface, isDefault: a.Default}
	for _, text := range a.IPs {
		address, ok := addressOf(text)
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("%+q is no IP address", short(text)))
		case !slices.Contains(p.addresses, address):
			p.addresses = append(p.addresses, address)
		}
	}
	return p, faults
}

// statusAnnotation returns the annotation's text, empty when the pod has none.
func statusAnnotation(annotations map[string]string) string {
	if text, ok := annotations[networkStatus]; ok {
		return text
	}
	return annotations[olderNetworkStatus]
}
