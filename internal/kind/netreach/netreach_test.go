package netreach_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

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

// firstDefaults is a task with all defaults of release 0.1.0, as an API server shows it, and firstRevision is how that
// release named its spec.
const (
	firstDefaults = `{"agentSpec": {"kind": "DaemonSet", "hostNetwork": false, "terminationGracePeriodMinutes": 60},
		"expect": {"meanAccessDelayInMs": 5000, "successRate": 1}, "suspend": false,
		"request": {"connection": "both", "durationInSecond": 2, "perRequestTimeoutInMS": 500, "qps": 5},
		"schedule": {"roundNumber": 1, "roundTimeoutMinute": 1, "schedule": "0 1"},
		"target": {"clusterIP": true, "endpoint": true, "ingress": false, "ipv4": true, "ipv6": false,
			"loadBalancer": false, "multusInterface": false, "nodePort": true, "nodePortNodes": "All"}}`
	firstRevision = "2a0fc171ca164d4b"
)

// Where the names differed, going back to that release would start every task of the cluster.
func TestATaskWithoutNewerFieldsIsNamedAsTheFirstReleaseNamedIt(t *testing.T) {
	var n v1beta1.NetReach
	if err := json.Unmarshal([]byte(firstDefaults), &n.Spec); err != nil {
		t.Fatal(err)
	}
	task, err := netreach.Kind().Read(&n)
	if err != nil {
		t.Fatal(err)
	}
	if task.Revision != firstRevision {
		t.Errorf("the spec is named %s, want %s", task.Revision, firstRevision)
	}
}

// The API server shows stored tasks with the defaults of the CRD that is installed. A field with a default that came
// later would change the name of every stored spec. Such a field gets no default: one that is missing has a meaning.
func TestNoFieldThatCameAfterTheFirstReleaseHasADefault(t *testing.T) {
	text, err := os.ReadFile("../../../charts/kdoctor/files/crds/kdoctor.io_netreaches.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	got := defaultsOf(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "")
	want := []string{"spec", "spec.agentSpec.hostNetwork", "spec.agentSpec.kind",
		"spec.agentSpec.terminationGracePeriodMinutes", "spec.expect", "spec.expect.meanAccessDelayInMs",
		"spec.expect.successRate", "spec.request", "spec.request.connection", "spec.request.durationInSecond",
		"spec.request.perRequestTimeoutInMS", "spec.request.qps", "spec.schedule", "spec.schedule.roundNumber",
		"spec.schedule.roundTimeoutMinute", "spec.schedule.schedule", "spec.suspend", "spec.target",
		"spec.target.clusterIP", "spec.target.enableLatencyMetric", "spec.target.endpoint", "spec.target.ingress",
		"spec.target.ipv4", "spec.target.ipv6", "spec.target.loadBalancer", "spec.target.multusInterface",
		"spec.target.nodePort", "spec.target.nodePortNodes"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields with a default, release 0.1.0's and this one's (-want +got):\n%s", diff)
	}
}

// defaultsOf lists the fields of a schema that have a default, without those of Kubernetes' own types.
func defaultsOf(schema map[string]any, path string) []string {
	var found []string
	if _, has := schema["default"]; has {
		found = append(found, path)
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		below, _ := properties[name].(map[string]any)
		at := strings.TrimPrefix(path+"."+name, ".")
		if at != "spec.agentSpec.affinity" && at != "spec.agentSpec.env" && at != "status" {
			found = append(found, defaultsOf(below, at)...)
		}
	}
	return found
}
