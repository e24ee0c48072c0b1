// Package plan decides what a lab consists of: its settings, its nodes and every address in it. It only computes.
package plan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Values of the settings.
const (
	DualStack = "dual"
	IPv4Only  = "ipv4"
	IPv6Only  = "ipv6"

	OverlayVXLAN = "vxlan"
	OverlayNone  = "none"

	ProxyNFTables = "nftables"
	ProxyIPTables = "iptables"

	// MaxNodes keeps the addresses of nodes, pods and load balancers apart.
	MaxNodes = 50
)

// Settings are what a user chooses about a lab.
type Settings struct {
	Name      string `json:"name"`
	Nodes     int    `json:"nodes"`
	Families  string `json:"families"`
	Overlay   string `json:"overlay"`
	ProxyMode string `json:"proxyMode"`
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)

// ValidName says whether name may be the name of a lab. It becomes part of namespaces, cgroups and socket paths, which
// have to stay short.
func ValidName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return fmt.Errorf("--name %q is not a lab's name: use at most 20 of a-z, 0-9 and '-', beginning and ending with "+
		"a letter or a digit", name)
}

// Validate returns every reason why a lab cannot be made so.
func (s Settings) Validate() error {
	problems := []error{ValidName(s.Name)}
	if s.Nodes < 0 || s.Nodes > MaxNodes {
		problems = append(problems,
			fmt.Errorf("--nodes %d is not possible: use 1 to %d, or 0 for an API server alone", s.Nodes, MaxNodes))
	}
	problems = append(problems,
		oneOf("families", s.Families, DualStack, IPv4Only, IPv6Only),
		oneOf("overlay", s.Overlay, OverlayVXLAN, OverlayNone),
		oneOf("proxy-mode", s.ProxyMode, ProxyNFTables, ProxyIPTables))
	return errors.Join(problems...)
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("--%s %q is not known: use %s", flag, value, strings.Join(allowed, " or "))
}

// Differences names, flag by flag, where other is not the same as s. Both have to be of the same name.
func (s Settings) Differences(other Settings) []string {
	var found []string
	note := func(flag string, mine, theirs any) {
		if mine != theirs {
			found = append(found, fmt.Sprintf("--%s is %v, not %v", flag, mine, theirs))
		}
	}
	note("nodes", s.Nodes, other.Nodes)
	note("families", s.Families, other.Families)
	note("overlay", s.Overlay, other.Overlay)
	note("proxy-mode", s.ProxyMode, other.ProxyMode)
	return found
}

// IPv4 says whether the lab has IPv4.
func (s Settings) IPv4() bool { return s.Families != IPv6Only }

// IPv6 says whether the lab has IPv6.
func (s Settings) IPv6() bool { return s.Families != IPv4Only }
