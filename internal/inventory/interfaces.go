package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"kdoctor.io/kdoctor/internal/topology"
)

// The annotations by which Multus and its kin tell what they attached to a pod; the second is the older name.
const (
	networkStatus      = "k8s.v1.cni.cncf.io/network-status"
	olderNetworkStatus = "k8s.v1.cni.cncf.io/networks-status"
)

// Bounds on an annotation that anyone who may edit pods can write.
const (
	maxStatusBytes    = 64 << 10
	maxAttachments    = 64
	maxAttachmentIPs  = 16
	maxAttachmentName = 253
)

// attachment is one entry of the annotation, as far as it matters here.
type attachment struct {
	Name      string   `json:"name"`
	Interface string   `json:"interface"`
	IPs       []string `json:"ips"`
	Default   bool     `json:"default"`
}

// parseInterfaces reads the annotation. Left out are the default network, entries that repeat the pod's own addresses, and addresses
// that no other pod can reach. What is not well-formed or too large is an error as a whole: half an answer would look like all of it.
func parseInterfaces(text string, own []netip.Addr) ([]topology.Interface, error) {
	if len(text) > maxStatusBytes {
		return nil, fmt.Errorf("network status has %d bytes, more than %d", len(text), maxStatusBytes)
	}
	var attachments []attachment
	if err := json.Unmarshal([]byte(text), &attachments); err != nil {
		return nil, fmt.Errorf("read network status: %w", err)
	}
	if len(attachments) > maxAttachments {
		return nil, fmt.Errorf("network status has %d entries, more than %d", len(attachments), maxAttachments)
	}
	var interfaces []topology.Interface
	for n, a := range attachments {
		addresses, err := a.addresses()
		if err != nil {
			return nil, fmt.Errorf("network status, entry %d: %w", n, err)
		}
		isOwn := slices.ContainsFunc(addresses, func(ip netip.Addr) bool { return slices.Contains(own, ip) })
		if a.Default || isOwn || len(addresses) == 0 {
			continue
		}
		interfaces = append(interfaces, topology.Interface{Network: a.Name, Name: a.Interface, Addresses: addresses})
	}
	return interfaces, nil
}

func (a attachment) addresses() ([]netip.Addr, error) {
	if len(a.Name) > maxAttachmentName || len(a.Interface) > maxAttachmentName {
		return nil, fmt.Errorf("a name is longer than %d bytes", maxAttachmentName)
	}
	if strings.ContainsFunc(a.Name+a.Interface, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return nil, errors.New("a name has characters that are not text")
	}
	if len(a.IPs) > maxAttachmentIPs {
		return nil, fmt.Errorf("%d addresses, more than %d", len(a.IPs), maxAttachmentIPs)
	}
	var addresses []netip.Addr
	for _, text := range a.IPs {
		address, ok := addressOf(text)
		if !ok {
			return nil, errors.New("an address is not valid")
		}
		if address.IsGlobalUnicast() && !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses, nil
}

// statusAnnotation returns the annotation's text, empty when the pod has none.
func statusAnnotation(annotations map[string]string) string {
	if text, ok := annotations[networkStatus]; ok {
		return text
	}
	return annotations[olderNetworkStatus]
}
