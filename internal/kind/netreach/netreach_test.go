package netreach_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

func TestNetReachAsksForALoad(t *testing.T) {
	of := func(c v1beta1.Connection) v1beta1.NetReachSpec {
		return v1beta1.NetReachSpec{Request: &v1beta1.HTTPRequest{QPS: 7, DurationInSecond: 3,
			PerRequestTimeoutInMS: 250, Connection: c}}
	}
	load := func(c mesh.Connection) mesh.Want {
		return mesh.Want{Load: mesh.Load{PerSecond: 7, Duration: 3 * time.Second, Timeout: 250 * time.Millisecond,
			Connection: c}}
	}
	for name, c := range map[string]struct {
		spec v1beta1.NetReachSpec
		want mesh.Want
	}{
		"new connections":            {of(v1beta1.NewConnection), load(mesh.NewConnection)},
		"connections that stay open": {of(v1beta1.KeepAlive), load(mesh.KeepAlive)},
		"both":                       {of(v1beta1.Both), load(mesh.Both)},
		"connections that are missing are new ones": {of(""), load(mesh.NewConnection)},
		"answers of a size": {v1beta1.NetReachSpec{Request: &v1beta1.HTTPRequest{QPS: 7, AnswerSizeInByte: 8000}},
			mesh.Want{Load: mesh.Load{PerSecond: 7, Connection: mesh.NewConnection},
				HTTP: mesh.HTTP{Answer: mesh.Answer{Bytes: 8000}}}},
		"without a request nothing is known": {v1beta1.NetReachSpec{}, mesh.Want{}},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := netreach.Kind().Read(&v1beta1.NetReach{Spec: c.spec})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, task.Want); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNetReachAsksForNodePortsOnAllNodesOrTheLocalOne(t *testing.T) {
	for name, c := range map[string]struct {
		asked v1beta1.NodePortNodes
		want  target.Nodes
	}{
		"all nodes":                       {v1beta1.AllNodes, target.AllNodes},
		"the agent's own node":            {v1beta1.LocalNode, target.LocalNode},
		"a value that is missing is all":  {"", target.AllNodes},
		"a value of a later release, too": {"Zone", target.AllNodes},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := netreach.Kind().Read(
				&v1beta1.NetReach{Spec: v1beta1.NetReachSpec{Target: &v1beta1.NetReachTarget{NodePortNodes: c.asked}}})
			if err != nil || task.Want.NodePorts != c.want {
				t.Errorf("%q, %v; want %q", task.Want.NodePorts, err, c.want)
			}
		})
	}
}

func TestNetReachAsksForNodePortsByAddressesOfAType(t *testing.T) {
	for name, c := range map[string]struct {
		asked v1beta1.NodePortAddresses
		want  target.Addresses
	}{
		"the primary address":             {v1beta1.PrimaryAddress, target.PrimaryAddress},
		"internal addresses":              {v1beta1.InternalAddresses, target.InternalAddresses},
		"all addresses":                   {v1beta1.AllAddresses, target.AllAddresses},
		"a value that is missing":         {"", target.PrimaryAddress},
		"a value of a later release, too": {"Hostname", target.PrimaryAddress},
	} {
		t.Run(name, func(t *testing.T) {
			asked := &v1beta1.NetReachTarget{NodePortAddresses: c.asked}
			task, err := netreach.Kind().Read(&v1beta1.NetReach{Spec: v1beta1.NetReachSpec{Target: asked}})
			if err != nil || task.Want.NodeAddresses != c.want {
				t.Errorf("%q, %v; want %q", task.Want.NodeAddresses, err, c.want)
			}
		})
	}
}
