// Package netreach is the kind of tasks in which agents send HTTP requests to each other over every path that the
// cluster offers.
package netreach

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Kind is NetReach.
func Kind() kind.Kind {
	return kind.Kind{
		Name: "NetReach", Plural: "netreaches", Short: []string{"nr"},
		New:     func() kind.Object { return &v1beta1.NetReach{} },
		NewList: func() kind.List { return &v1beta1.NetReachList{} },
		Read:    read,
	}
}

// read reads a NetReach. Defaults are the schema's: a part that is missing here was not asked for.
func read(object kind.Object) (kind.Task, error) {
	n, ok := object.(*v1beta1.NetReach)
	if !ok {
		return kind.Task{}, fmt.Errorf("a %T is not a NetReach", object)
	}
	spec, err := json.Marshal(n.Spec)
	if err != nil {
		return kind.Task{}, fmt.Errorf("encode the spec of NetReach %s: %w", n.Name, err)
	}
	revision, err := revisionOf(n.Spec)
	if err != nil {
		return kind.Task{}, fmt.Errorf("name the revision of NetReach %s: %w", n.Name, err)
	}
	t := kind.Task{
		Kind: "NetReach", Name: n.Name, UID: string(n.UID), Generation: n.Generation, Revision: revision,
		Suspended: n.Spec.Suspend, RunNow: n.Annotations[kind.RunNow],
		Created: n.CreationTimestamp.Time, Deleting: !n.DeletionTimestamp.IsZero(),
		OwnAgents: n.Spec.AgentSpec, Spec: spec, Status: n.Status,
	}
	if s := n.Spec.Schedule; s != nil {
		t.Schedule, t.Zone, t.Rounds, t.Timeout = value(s.Schedule), value(s.TimeZone), s.RoundNumber,
			time.Duration(s.RoundTimeoutMinute)*time.Minute
		if s.IntervalInSecond != nil {
			t.Every = time.Duration(*s.IntervalInSecond) * time.Second
			t.Timeout = t.Every
		}
	}
	if r := n.Spec.Request; r != nil {
		t.Want.Load = mesh.Load{PerSecond: int(r.QPS), Duration: time.Duration(r.DurationInSecond) * time.Second,
			Timeout: time.Duration(r.PerRequestTimeoutInMS) * time.Millisecond, Connection: connectionOf(r.Connection)}
		t.Want.Answer.Bytes = int(r.AnswerSizeInByte)
	}
	if e := n.Spec.Expect; e != nil {
		t.Expect = verdict.Expect{SuccessRate: value(e.SuccessRate),
			MeanDelay: time.Duration(value(e.MeanAccessDelayInMs)) * time.Millisecond}
		t.Want.Status = int(value(e.StatusCode))
	}
	if n.Spec.Target != nil {
		if t.Want.Kinds, t.Want.Families, err = targetsOf(*n.Spec.Target); err != nil {
			return kind.Task{}, fmt.Errorf("read the target of NetReach %s: %w", n.Name, err)
		}
		t.Want.NodePorts = nodesOf(n.Spec.Target.NodePortNodes)
		t.Want.NodeAddresses = nodeAddressesOf(n.Spec.Target.NodePortAddresses)
		t.Want.Pairs = mesh.Pairs(n.Spec.Target.Mesh)
	}
	d := n.Spec.Diagnosis
	t.Diagnose = d == nil || d.Enabled == nil || *d.Enabled
	return t, nil
}

// connectionOf maps the API's word to the plan's; a value that is missing opens a connection for every request.
func connectionOf(c v1beta1.Connection) mesh.Connection {
	switch c {
	case v1beta1.KeepAlive:
		return mesh.KeepAlive
	case v1beta1.Both:
		return mesh.Both
	default:
		return mesh.NewConnection
	}
}

// nodesOf maps the API's word to the plan's; a value that is missing is all nodes.
func nodesOf(n v1beta1.NodePortNodes) target.Nodes {
	if n == v1beta1.LocalNode {
		return target.LocalNode
	}
	return target.AllNodes
}

// nodeAddressesOf maps the API's word to the plan's; a value that is missing is the primary address.
func nodeAddressesOf(a v1beta1.NodePortAddresses) target.Addresses {
	switch a {
	case v1beta1.InternalAddresses:
		return target.InternalAddresses
	case v1beta1.AllAddresses:
		return target.AllAddresses
	default:
		return target.PrimaryAddress
	}
}

// revisionOf names a spec without its suspension.
func revisionOf(spec v1beta1.NetReachSpec) (string, error) {
	spec.Suspend = false
	text, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// targetsOf lists kinds and families in the order in which reports show them. A kind is asked for by the field that the
// table of target kinds names; its value is read from the JSON of the target, in which the field has that name.
func targetsOf(t v1beta1.NetReachTarget) (kinds []target.Kind, families []topology.Family, err error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, nil, err
	}
	for _, row := range target.Kinds() {
		if fields[row.Field] == true {
			kinds = append(kinds, row.Kind)
		}
	}
	if value(t.IPv4) {
		families = append(families, topology.IPv4)
	}
	if value(t.IPv6) {
		families = append(families, topology.IPv6)
	}
	return kinds, families, nil
}

// value is what p points to, the zero value when it points nowhere.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
