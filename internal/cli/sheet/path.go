package sheet

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// unknown is a path whose name none of our target kinds makes.
const unknown target.Kind = "Other"

// path is one way through the cluster over one family.
type path struct {
	kind   target.Kind
	family topology.Family
	// device is the pods' interface, such as net1; empty for their first one, and where the report does not tell.
	device string
}

// kinds are all kinds, in the order in which reports show them.
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

// places derives the place of every target from its name, because the report's format has no field for it.
//
// A second interface's name has the form of a pod address's. Reports name the interface; in those of earlier releases, which do not, a pod's first target
// of a family is its own address where the task asks for both, because plans list pod addresses before second interfaces; where it asks for one of them,
// all are of that kind.
func places(details []systemv1beta1.NetReachDetail, spec *runtime.RawExtension) []place {
	endpoint, second := asked(spec)
	type address struct {
		pod    string
		family topology.Family
	}
	seen := map[address]bool{}
	all := make([]place, 0, len(details))
	for _, d := range details {
		p := placeOf(d)
		switch {
		case p.kind == target.Endpoint && d.Interface != "":
			p.kind, p.device = target.SecondInterface, d.Interface
		case p.kind == target.Endpoint:
			key := address{p.pod, p.family}
			if second && (!endpoint || seen[key]) {
				p.kind = target.SecondInterface
			}
			seen[key] = true
		}
		all = append(all, p)
	}
	return all
}

// asked tells whether the task asks for pod addresses and for second interfaces. A spec that is missing or unreadable may have asked for both.
func asked(spec *runtime.RawExtension) (endpoint, second bool) {
	var read struct {
		Target struct {
			Endpoint        *bool `json:"endpoint"`
			MultusInterface *bool `json:"multusInterface"`
		} `json:"target"`
	}
	if spec == nil || json.Unmarshal(spec.Raw, &read) != nil {
		return true, true
	}
	t := read.Target
	return t.Endpoint == nil || *t.Endpoint, t.MultusInterface != nil && *t.MultusInterface
}

func placeOf(d systemv1beta1.NetReachDetail) place {
	prefix, rest, _ := strings.Cut(d.TargetName, "_")
	forms := []struct {
		before, after string
		kind          target.Kind
	}{
		{"AgentPod", "IP", target.Endpoint},
		{"AgentCluster", "IP", target.ClusterIP},
		{"AgentNodePort", "IP", target.NodePort},
		{"AgentLoadbalancer", "IP", target.LoadBalancer},
	}
	for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
		for _, f := range forms {
			if prefix != f.before+target.Short(family)+f.after {
				continue
			}
			p := place{path: path{kind: f.kind, family: family}, address: host(d)}
			if i := strings.LastIndexByte(rest, '_'); i >= 0 && f.kind == target.Endpoint {
				p.pod = rest[:i]
			}
			return p
		}
	}
	if prefix == "AgentIngress" {
		return place{path: path{kind: target.Ingress, family: familyOf(rest)}, address: rest}
	}
	return place{path: path{kind: unknown, family: familyOf(d.TargetUrl)}, address: d.TargetName}
}

// host is the address and port of the target's URL.
func host(d systemv1beta1.NetReachDetail) string {
	if u, err := url.Parse(d.TargetUrl); err == nil && u.Host != "" {
		return u.Host
	}
	return d.TargetName
}

// familyOf is the family of the address in a URL, empty when it has a host name or none.
func familyOf(text string) topology.Family {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return ""
	}
	return topology.FamilyOf(a)
}
