package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
)

func defaults() map[string]map[string]any {
	return map[string]map[string]any{
		"schedule": {"schedule": "0 1", "roundTimeoutMinute": int64(1), "roundNumber": int64(1)},
		"request": {"durationInSecond": int64(2), "qps": int64(5), "perRequestTimeoutInMS": int64(500),
			"connection": "both"},
		"expect": {"successRate": int64(1), "meanAccessDelayInMs": int64(5000)},
		"target": {
			"ipv4": true, "ipv6": false, "endpoint": true, "multusInterface": false, "clusterIP": true,
			"nodePort": true, "nodePortNodes": "All", "loadBalancer": false,
			"ingress": false, "enableLatencyMetric": false,
		},
	}
}

func TestWhatIsLeftOutGetsItsDefault(t *testing.T) {
	c := connect(t)
	type change struct {
		part, field string
		value       any
	}
	cases := map[string]struct {
		spec    string
		changes []change
	}{
		"no spec at all":   {spec: ""},
		"an empty spec":    {spec: "{}"},
		"every part empty": {spec: "{schedule: {}, request: {}, expect: {}, target: {}}"},
		"every part null":  {spec: "{schedule: null, request: null, expect: null, target: null}"},
		"a schedule with rounds alone": {spec: "{schedule: {roundNumber: 3}}",
			changes: []change{{"schedule", "roundNumber", int64(3)}}},
		"a schedule with a timeout alone": {spec: "{schedule: {roundTimeoutMinute: 5}}",
			changes: []change{{"schedule", "roundTimeoutMinute", int64(5)}}},
		"a schedule with its text alone": {spec: "{schedule: {schedule: '*/5 * * * *'}}",
			changes: []change{{"schedule", "schedule", "*/5 * * * *"}}},
		"a request with qps alone": {spec: "{request: {qps: 7}}",
			changes: []change{{"request", "qps", int64(7)}}},
		"a request with a duration alone": {spec: "{request: {durationInSecond: 9}}",
			changes: []change{{"request", "durationInSecond", int64(9)}}},
		"a request with a timeout alone": {spec: "{request: {perRequestTimeoutInMS: 9}}",
			changes: []change{{"request", "perRequestTimeoutInMS", int64(9)}}},
		"a request with connections alone": {spec: "{request: {connection: keepalive}}",
			changes: []change{{"request", "connection", "keepalive"}}},
		"a request with large answers": {spec: "{request: {answerSizeInByte: 8000}}",
			changes: []change{{"request", "answerSizeInByte", int64(8000)}}},
		"an expectation of half a success": {spec: "{expect: {successRate: 0.5}}",
			changes: []change{{"expect", "successRate", 0.5}}},
		"an expectation of a delay alone": {spec: "{expect: {meanAccessDelayInMs: 20}}",
			changes: []change{{"expect", "meanAccessDelayInMs", int64(20)}}},
		"a target with IPv6 alone added": {spec: "{target: {ipv6: true}}",
			changes: []change{{"target", "ipv6", true}}},
		"a target with the load balancer alone set": {spec: "{target: {loadBalancer: true}}",
			changes: []change{{"target", "loadBalancer", true}}},
		"a target with IPv4 swapped for IPv6": {spec: "{target: {ipv4: false, ipv6: true}}",
			changes: []change{{"target", "ipv4", false}, {"target", "ipv6", true}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			made, err := c.create(t.Context(), parse(t, tc.spec))
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			want := defaults()
			for _, change := range tc.changes {
				want[change.part][change.field] = change.value
			}
			for part, fields := range want {
				got, _, _ := unstructured.NestedMap(made.Object, "spec", part)
				if diff := cmp.Diff(fields, got); diff != "" {
					t.Errorf("spec.%s (-want +got):\n%s", part, diff)
				}
			}
			spec, _, _ := unstructured.NestedMap(made.Object, "spec")
			if got, all := slices.Sorted(maps.Keys(spec)),
				[]string{"expect", "request", "schedule", "suspend", "target"}; !cmp.Equal(all, got) {
				t.Errorf("spec has %v, want %v", got, all)
			}
			if spec["suspend"] != false {
				t.Errorf("spec.suspend is %v, want false", spec["suspend"])
			}
		})
	}
}

func TestAgentSpecGetsItsDefaults(t *testing.T) {
	made, err := connect(t).create(t.Context(), parse(t, "{agentSpec: {}}"))
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ := unstructured.NestedMap(made.Object, "spec", "agentSpec")
	want := map[string]any{"kind": "DaemonSet", "hostNetwork": false, "terminationGracePeriodMinutes": int64(60)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValuesAtTheEdgeAreTaken(t *testing.T) {
	c := connect(t)
	for name, spec := range map[string]string{
		"the least of everything": "{schedule: {schedule: '0 1', roundTimeoutMinute: 1, roundNumber: " +
			"1}, request: {durationInSecond: 1, qps: 1, perRequestTimeoutInMS: 1}, expect: {successRate: 0, " +
			"meanAccessDelayInMs: 1, statusCode: 100}}",
		"the most of everything": "{schedule: {schedule: '525600 525600', roundTimeoutMinute: 1440, " +
			"roundNumber: 1000000}, request: {durationInSecond: 85795, qps: 1000, perRequestTimeoutInMS: 600000}, " +
			"expect: {successRate: 1, meanAccessDelayInMs: 600000, statusCode: 599}}",
		"the shortest interval with the longest load": "{schedule: {intervalInSecond: 10}, request: " +
			"{durationInSecond: 6, perRequestTimeoutInMS: 1000}}",
		"the longest interval with the longest load": "{schedule: {intervalInSecond: 3600}, request: " +
			"{durationInSecond: 3590, perRequestTimeoutInMS: 5000}}",
		"an interval and a round of another length, which does not count": "{schedule: {intervalInSecond: 10, " +
			"roundTimeoutMinute: 60, roundNumber: -1}}",
		"an interval longer than the default round": "{schedule: {intervalInSecond: 120}, request: " +
			"{durationInSecond: 100}}",
		"rounds for ever":                      "{schedule: {roundNumber: -1}}",
		"a connection for every request":       "{request: {connection: new}}",
		"connections that stay open":           "{request: {connection: keepalive}}",
		"both kinds of connections":            "{request: {connection: both}}",
		"answers of their usual size":          "{request: {answerSizeInByte: 0, qps: 1000}}",
		"the largest answers":                  "{request: {answerSizeInByte: 65536, qps: 152}}",
		"the most answers of a size":           "{request: {answerSizeInByte: 10000, qps: 1000}}",
		"node ports on the agent's own node":   "{target: {nodePortNodes: Local}}",
		"node ports on all nodes":              "{target: {nodePortNodes: All}}",
		"node ports by primary addresses":      "{target: {nodePortAddresses: Primary}}",
		"node ports by internal addresses":     "{target: {nodePortAddresses: Internal}}",
		"node ports by all addresses":          "{target: {nodePortAddresses: All}}",
		"a load that just fits its round":      "{request: {durationInSecond: 54, perRequestTimeoutInMS: 1000}}",
		"one round longer than its repetition": "{schedule: {schedule: '0 1', roundTimeoutMinute: 60}}",
		"rounds as long as their repetition":   "{schedule: {schedule: '0 5', roundTimeoutMinute: 5, roundNumber: 2}}",
		"an agent workload without replicas": "{agentSpec: {kind: Deployment, deploymentReplicas: 0, " +
			"terminationGracePeriodMinutes: 0}}",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.create(t.Context(), parse(t, spec)); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// TestImpossibleValuesAreRefused wants of every refusal that it names the field, the value that was given and what is
// allowed.
func TestImpossibleValuesAreRefused(t *testing.T) {
	c := connect(t)
	for name, tc := range map[string]struct {
		spec string
		says []string
	}{
		"no queries per second": {"{request: {qps: 0}}",
			[]string{"spec.request.qps is 0", "from 1 to 1000"}},
		"negative queries per second": {"{request: {qps: -3}}",
			[]string{"spec.request.qps is -3", "from 1 to 1000"}},
		"too many queries per second": {"{request: {qps: 1001}}",
			[]string{"spec.request.qps is 1001", "from 1 to 1000"}},
		"no duration": {"{request: {durationInSecond: 0}}",
			[]string{"spec.request.durationInSecond is 0", "from 1 to 86400"}},
		"a duration of more than a day": {"{request: {durationInSecond: 86401}, schedule: " +
			"{roundTimeoutMinute: 1440}}", []string{"spec.request.durationInSecond is 86401", "from 1 to 86400"}},
		"a load that leaves no time to collect reports": {"{request: {durationInSecond: 55, perRequestTimeoutInMS: 1000}}", []string{"spec.request.durationInSecond is 55", "of 1000", "round of 60 seconds", "raise spec.schedule.roundTimeoutMinute"}},
		"a duration longer than the round": {"{request: {durationInSecond: 61}}",
			[]string{"spec.request.durationInSecond is 61", "at most 60", "spec.schedule.roundTimeoutMinute"}},
		"no time for a request": {"{request: {perRequestTimeoutInMS: 0}}",
			[]string{"spec.request.perRequestTimeoutInMS is 0", "from 1 to 600000"}},
		"too much time for a request": {"{request: {perRequestTimeoutInMS: 600001}, schedule: " +
			"{roundTimeoutMinute: 20}}", []string{"spec.request.perRequestTimeoutInMS is 600001", "from 1 to 600000"}},
		"a request longer than the round": {"{request: {perRequestTimeoutInMS: 60001}}",
			[]string{"spec.request.perRequestTimeoutInMS is 60001", "at most 60000",
				"spec.schedule.roundTimeoutMinute"}},
		"an unknown use of connections": {"{request: {connection: fresh}}",
			[]string{`spec.request.connection is "fresh"`, "use new, keepalive or both"}},
		"no use of connections": {"{request: {connection: ''}}",
			[]string{`spec.request.connection is ""`, "use new, keepalive or both"}},
		"a use of connections in capitals": {"{request: {connection: New}}",
			[]string{`spec.request.connection is "New"`, "use new, keepalive or both"}},
		"an answer of less than nothing": {"{request: {answerSizeInByte: -1}}",
			[]string{"spec.request.answerSizeInByte is -1", "from 0 to 65536"}},
		"an answer that no agent would take": {"{request: {answerSizeInByte: 65537}}",
			[]string{"spec.request.answerSizeInByte is 65537", "from 0 to 65536"}},
		"large answers too often": {"{request: {answerSizeInByte: 65536, qps: 153}}",
			[]string{"spec.request.answerSizeInByte is 65536", "10027008 bytes a second", "the qps of 153",
				"at most 65359", "a qps of at most 152", "no more than 10000000"}},
		"the largest number of bytes": {"{request: {answerSizeInByte: 9223372036854775807, qps: 1000}}",
			[]string{"spec.request.answerSizeInByte is 9223372036854775807", "from 0 to 65536"}},
		"the largest number of queries, large answers": {"{request: {answerSizeInByte: 65536, qps: " +
			"9223372036854775807}}", []string{"spec.request.qps is 9223372036854775807", "from 1 to 1000"}},
		"a success rate above all": {"{expect: {successRate: 1.5}}",
			[]string{"spec.expect.successRate is 1.5", "from 0 to 1"}},
		"a success rate of a whole number": {"{expect: {successRate: 2}}",
			[]string{"spec.expect.successRate is 2", "from 0 to 1"}},
		"a negative success rate": {"{expect: {successRate: -0.1}}",
			[]string{"spec.expect.successRate is -0.1", "from 0 to 1"}},
		"no mean delay": {"{expect: {meanAccessDelayInMs: 0}}",
			[]string{"spec.expect.meanAccessDelayInMs is 0", "from 1 to 600000"}},
		"too long a mean delay": {"{expect: {meanAccessDelayInMs: 600001}}",
			[]string{"spec.expect.meanAccessDelayInMs is 600001", "from 1 to 600000"}},
		"a status below all": {"{expect: {statusCode: 99}}",
			[]string{"spec.expect.statusCode is 99", "from 100 to 599"}},
		"a status above all": {"{expect: {statusCode: 600}}",
			[]string{"spec.expect.statusCode is 600", "from 100 to 599"}},
		"an interval that is too short": {"{schedule: {intervalInSecond: 9}}",
			[]string{"spec.schedule.intervalInSecond is 9", "from 10 to 3600"}},
		"an interval that is too long": {"{schedule: {intervalInSecond: 3601}}",
			[]string{"spec.schedule.intervalInSecond is 3601", "from 10 to 3600"}},
		"no interval": {"{schedule: {intervalInSecond: 0}}",
			[]string{"spec.schedule.intervalInSecond is 0", "from 10 to 3600"}},
		"an interval beside a schedule": {"{schedule: {intervalInSecond: 30, schedule: '0 5'}}",
			[]string{`spec.schedule.schedule is "0 5"`, "spec.schedule.intervalInSecond is 30", "use one of them"}},
		"a load that leaves no time to collect reports in a short interval": {"{schedule: {intervalInSecond: 10}, " +
			"request: {durationInSecond: 7}}", []string{"spec.request.durationInSecond is 7", "of 500",
			"3 seconds for collecting", "intervalInSecond of 10", "a longer interval"}},
		"a load that leaves no time to collect reports in a long interval": {"{schedule: {intervalInSecond: 60}, " +
			"request: {durationInSecond: 55}}", []string{"spec.request.durationInSecond is 55",
			"5 seconds for collecting", "intervalInSecond of 60"}},
		"a load of the largest number in an interval": {"{schedule: {intervalInSecond: 10}, request: " +
			"{durationInSecond: 9223372036854775807}}", []string{"spec.request.durationInSecond is 9223372036854775807",
			"from 1 to 86400"}},
		"no rounds": {"{schedule: {roundNumber: 0}}",
			[]string{"spec.schedule.roundNumber is 0", "-1 (for ever)", "from 1 to 1000000"}},
		"fewer rounds than for ever": {"{schedule: {roundNumber: -2}}",
			[]string{"spec.schedule.roundNumber is -2", "from 1 to 1000000"}},
		"too many rounds": {"{schedule: {roundNumber: 1000001}}",
			[]string{"spec.schedule.roundNumber is 1000001", "from 1 to 1000000"}},
		"no time for a round": {"{schedule: {roundTimeoutMinute: 0}}",
			[]string{"spec.schedule.roundTimeoutMinute is 0", "from 1 to 1440"}},
		"a round of more than a day": {"{schedule: {roundTimeoutMinute: 1441}}",
			[]string{"spec.schedule.roundTimeoutMinute is 1441", "from 1 to 1440"}},
		"a round of the largest number": {"{schedule: {roundTimeoutMinute: 9223372036854775807}}",
			[]string{"spec.schedule.roundTimeoutMinute is 9223372036854775807", "from 1 to 1440"}},
		"rounds longer than repeated": {"{schedule: {schedule: '0 5', roundTimeoutMinute: 6, roundNumber: 2}}",
			[]string{"spec.schedule.roundTimeoutMinute is 6", `spec.schedule.schedule "0 5"`, "every 5 minutes",
				"at most 5"}},
		"no family": {"{target: {ipv4: false}}",
			[]string{"spec.target.ipv4 and spec.target.ipv6 are both false", "at least one"}},
		"no kind": {"{target: {endpoint: false, clusterIP: false, nodePort: false}}",
			[]string{"every kind in spec.target is false", "endpoint, multusInterface, clusterIP, nodePort, " +
				"loadBalancer and ingress"}},
		"unknown nodes for node ports": {"{target: {nodePortNodes: Zone}}",
			[]string{`spec.target.nodePortNodes is "Zone"`, "use All or Local"}},
		"unknown addresses for node ports": {"{target: {nodePortAddresses: External}}",
			[]string{`spec.target.nodePortAddresses is "External"`, "use Primary, Internal or All"}},
		"no addresses for node ports": {"{target: {nodePortAddresses: ''}}",
			[]string{`spec.target.nodePortAddresses is ""`, "use Primary, Internal or All"}},
		"no nodes for node ports": {"{target: {nodePortNodes: ''}}",
			[]string{`spec.target.nodePortNodes is ""`, "use All or Local"}},
		"negative replicas": {"{agentSpec: {kind: Deployment, deploymentReplicas: -1}}",
			[]string{"spec.agentSpec.deploymentReplicas is -1", "from 0 to 10000"}},
		"too many replicas": {"{agentSpec: {kind: Deployment, deploymentReplicas: 10001}}",
			[]string{"spec.agentSpec.deploymentReplicas is 10001", "from 0 to 10000"}},
		"agents that left before they came": {"{agentSpec: {terminationGracePeriodMinutes: -1}}",
			[]string{"spec.agentSpec.terminationGracePeriodMinutes is -1", "from 0 to 525600"}},
		"agents that stay for ever": {"{agentSpec: {terminationGracePeriodMinutes: 525601}}",
			[]string{"spec.agentSpec.terminationGracePeriodMinutes is 525601", "from 0 to 525600"}},
		"an unknown workload": {"{agentSpec: {kind: Job}}",
			[]string{"spec.agentSpec.kind", `"Job"`, `"Deployment", "DaemonSet"`}},
		"a field that does not exist": {"{request: {qqs: 1}}", []string{"spec.request.qqs", "unknown field"}},
		"text where a number stands":  {"{request: {qps: many}}", []string{"spec.request.qps", `"string"`, "integer"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.create(t.Context(), parse(t, tc.spec))
			if err == nil {
				t.Fatal("the API server took it")
			}
			if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Fatalf("refused for another reason: %v", err)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the refusal does not say %q:\n%v", part, err)
				}
			}
			for _, slip := range []string{"no such key", "overflow", "failed rule"} {
				if strings.Contains(err.Error(), slip) {
					t.Errorf("the refusal is not a sentence for people (%s):\n%v", slip, err)
				}
			}
		})
	}
}

func TestKindIsFoundByItsShortNameAndCategory(t *testing.T) {
	c := connect(t)
	list, err := discovery.NewDiscoveryClientForConfigOrDie(c.config).ServerResourcesForGroupVersion(
		"kdoctor.io/v1beta1")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range list.APIResources {
		names[r.Name] = true
		if r.Namespaced {
			t.Errorf("%s lies in namespaces", r.Name)
		}
		if r.Name != "netreaches" {
			continue
		}
		if diff := cmp.Diff([]string{"nr"}, r.ShortNames); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"kdoctor"}, r.Categories); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(map[string]bool{"netreaches": true, "netreaches/status": true}, names); diff != "" {
		t.Error(diff)
	}
}

func TestKubectlShowsTheFiveColumns(t *testing.T) {
	c := connect(t)
	raw, err := discovery.NewDiscoveryClientForConfigOrDie(c.config).RESTClient().Get().
		AbsPath("/apis/kdoctor.io/v1beta1/netreaches").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, column := range table.ColumnDefinitions {
		got = append(got, column.Name+" "+column.Type)
	}
	want := []string{"Name string", "finish boolean", "expectedRound integer", "doneRound integer",
		"lastRoundStatus string", "schedule string", "ready string", "reason string", "age date"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
