package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	suffixIPv4 = "-ipv4"
	suffixIPv6 = "-ipv6"
	// longestName leaves room for the suffix of a Service, whose name is a DNS label of at most 63 characters.
	longestName = 63 - len(suffixIPv4)
	// digits is the length of the hash in a name that was cut or changed.
	digits = 8
)

// Names names the agents of a task's own: kdoctor-<kind>-<task>, with a Service for each one of the default agents and,
// when the task probes it and the installation may have one, an Ingress. The kinds are that of the task and that of
// the workload.
func Names(kind, task, workloadKind string, standard topology.Workload, ingress bool) topology.Workload {
	name := nameOf("kdoctor-" + strings.ToLower(kind) + "-" + task)
	names := topology.Workload{Kind: workloadKind, Name: name}
	if names.Kind == "" {
		names.Kind = topology.DaemonSet
	}
	names.NoLoadBalancer, names.NoIngress = standard.NoLoadBalancer, standard.NoIngress
	for _, service := range standard.Services {
		names.Services = append(names.Services, name+suffixOf(FamilyOf(service)))
	}
	if ingress && standard.Ingress != "" && len(names.Services) > 0 {
		names.Ingress = names.Services[0]
	}
	return names
}

// nameOf makes a name that is a DNS label with room for a Service's suffix. A name that already is one stays as it is;
// any other is changed and gets a hash of the whole, so that names that differ stay different.
func nameOf(full string) string {
	if len(full) <= longestName && !strings.Contains(full, ".") {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	cut := strings.ReplaceAll(full, ".", "-")
	cut = strings.TrimRight(cut[:min(len(cut), longestName-1-digits)], "-")
	return cut + "-" + hex.EncodeToString(sum[:digits/2])
}

// suffixOf is the suffix of a Service of the family.
func suffixOf(family topology.Family) string {
	if family == topology.IPv6 {
		return suffixIPv6
	}
	return suffixIPv4
}

// FamilyOf is the family of a Service of that name, which ends in -ipv4 or -ipv6.
func FamilyOf(service string) topology.Family {
	if strings.HasSuffix(service, suffixIPv6) {
		return topology.IPv6
	}
	return topology.IPv4
}
