package sheet

import (
	"net/url"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// unknown is the kind of a target whose kind the report does not say, such as one that no agent measured.
const unknown target.Kind = "Other"

// path is one way through the cluster over one family.
type path struct {
	kind   target.Kind
	family topology.Family
	// device is the pods' interface, such as net1; empty for their first one.
	device string
}

// kinds are all kinds, in the order in which reports show them. Those of a later release come last.
func kinds() []target.Kind {
	var all []target.Kind
	for _, row := range target.Kinds() {
		all = append(all, row.Kind)
	}
	return append(all, unknown)
}

// title is the path's name for people, without the family.
func (p path) title() string {
	if p.kind == target.SecondInterface && p.device != "" {
		return "interface " + p.device
	}
	return p.kind.Traits().Title
}

// place is where a target is: its path, the pod when only one may answer, and the address.
type place struct {
	path
	pod, address string
}

func placeOf(d systemv1beta1.TargetDetail) place {
	if d.TargetKind == "" {
		return place{path: path{kind: unknown}, address: d.TargetName}
	}
	p := place{path: path{kind: target.Kind(d.TargetKind), family: topology.Family(d.IPFamily), device: d.Interface},
		pod: d.TargetPodName, address: host(d)}
	if p.kind == target.Ingress {
		p.address = d.TargetUrl
	}
	return p
}

// host is the address and port of the target's URL.
func host(d systemv1beta1.TargetDetail) string {
	if u, err := url.Parse(d.TargetUrl); err == nil && u.Host != "" {
		return u.Host
	}
	return d.TargetName
}
