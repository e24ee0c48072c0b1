package controller

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

// still is a cluster that does not change; a zero one cannot be read.
type still struct{ snapshot topology.Snapshot }

var errNoCluster = errors.New("the API server is away")

func (s still) Snapshot(context.Context, topology.Workload) (topology.Snapshot, error) {
	if s.snapshot.Agents == nil {
		return topology.Snapshot{}, errNoCluster
	}
	return s.snapshot, nil
}

func threeAgents() topology.Snapshot {
	var s topology.Snapshot
	for i, node := range []string{"n0", "n1", "n2"} {
		address := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		s.Agents = append(s.Agents,
			topology.Agent{Pod: "p" + node, Node: node, HTTPPort: 80, Addresses: []netip.Addr{address}})
		// Each node has a second InternalIP, and one ExternalIP.
		inner, outer := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}),
			netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i)})
		further := netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
		s.Nodes = append(s.Nodes,
			topology.Node{Name: node, Addresses: []netip.Addr{inner, further, outer}, External: []netip.Addr{outer}})
	}
	s.Agents = append(s.Agents, topology.Agent{Pod: "late", Node: "n2", NotReady: "pod is Pending"})
	s.Services = []topology.Service{{Name: "a-ipv4", Port: 80, NodePort: 30080,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}}
	return s
}

func TestFiguresAreKeptBesideTheLimits(t *testing.T) {
	scheme := runtime.NewScheme()
	kind := v1beta1.GroupVersion().WithKind("LoadLimit")
	scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
	api := fake.NewClientBuilder().WithScheme(scheme).Build()
	f := &LoadLimitWriter{Snapshots: still{threeAgents()}, Client: api, Name: "kdoctor-limits", PerAgent: 100, Total: 7,
		Log: logr.Discard()}
	read := func() *unstructured.Unstructured {
		got := &unstructured.Unstructured{}
		got.SetGroupVersionKind(kind)
		if err := api.Get(t.Context(), client.ObjectKey{Name: "kdoctor-limits"}, got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if err := f.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"requestsPerSecondPerAgent": int64(100), "requestsPerSecond": int64(7), "agents": int64(3),
		"targetsPerAgent": map[string]any{
			"endpoint.ipv4": int64(3), "endpoint.ipv6": int64(0), "multusInterface.ipv4": int64(0),
			"multusInterface.ipv6": int64(0),
			"clusterIP.ipv4":       int64(1), "clusterIP.ipv6": int64(0), "nodePort.ipv4": int64(3),
			"nodePort.ipv6":      int64(0),
			"nodePortLocal.ipv4": int64(1), "nodePortLocal.ipv6": int64(0), "nodePortInternal.ipv4": int64(6),
			"nodePortInternal.ipv6":      int64(0),
			"nodePortInternalLocal.ipv4": int64(2), "nodePortInternalLocal.ipv6": int64(0),
			"nodePortAll.ipv4": int64(9), "nodePortAll.ipv6": int64(0),
			"nodePortAllLocal.ipv4": int64(3), "nodePortAllLocal.ipv6": int64(0), "loadBalancer.ipv4": int64(0),
			"loadBalancer.ipv6": int64(0),
			"ingress.ipv4":      int64(0), "ingress.ipv6": int64(0),
		}}
	if diff := cmp.Diff(want, read().Object["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.Snapshots = still{}
	if err := f.once(t.Context()); !errors.Is(err, errNoCluster) {
		t.Errorf("a cluster that cannot be read gave %v", err)
	}
	if diff := cmp.Diff(want, read().Object["spec"]); diff != "" {
		t.Errorf("a cluster that cannot be read changed the figures (-want +got):\n%s", diff)
	}
}
