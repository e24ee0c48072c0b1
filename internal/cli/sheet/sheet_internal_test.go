package sheet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestPlaces(t *testing.T) {
	const (
		pod    = "AgentPodV4IP_agent-a_10.0.0.1"
		second = "AgentPodV4IP_agent-a_192.168.0.1"
		sixth  = "AgentPodV6IP_agent-a_fd00::1"
	)
	cases := []struct {
		name, spec string
		targets    []string
		want       []path
	}{
		{"a pod's second address of a family is its second interface", `{"target":{"multusInterface":true}}`, []string{pod, sixth, second},
			[]path{{target.Endpoint, topology.IPv4, ""}, {target.Endpoint, topology.IPv6, ""}, {target.SecondInterface, topology.IPv4, ""}}},
		{"where only second interfaces are asked for, there are no others", `{"target":{"multusInterface":true,"endpoint":false}}`, []string{pod},
			[]path{{target.SecondInterface, topology.IPv4, ""}}},
		{"where none are asked for, there are none", `{"target":{"multusInterface":false}}`, []string{pod, second},
			[]path{{target.Endpoint, topology.IPv4, ""}, {target.Endpoint, topology.IPv4, ""}}},
		{"what is left out is the default", `{}`, []string{pod, second}, []path{{target.Endpoint, topology.IPv4, ""}, {target.Endpoint, topology.IPv4, ""}}},
		{"a spec that cannot be read may have asked for both", `{"target":1}`, []string{pod, second},
			[]path{{target.Endpoint, topology.IPv4, ""}, {target.SecondInterface, topology.IPv4, ""}}},
		{"an Ingress has its family in the URL, in either form", `{}`, []string{"AgentIngress_http://10.0.0.9/kdoctoragent", "AgentIngress_http://[fd00::9]/x", "AgentIngress_http://a.example/x"},
			[]path{{target.Ingress, topology.IPv4, ""}, {target.Ingress, topology.IPv6, ""}, {target.Ingress, "", ""}}},
		{"a name of a later release is shown all the same", `{}`, []string{"AgentGatewayV4IP_10.0.0.1:80", "", "AgentPodV4IP", "%"},
			[]path{{unknown, "", ""}, {unknown, "", ""}, {target.Endpoint, topology.IPv4, ""}, {unknown, "", ""}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var details []systemv1beta1.NetReachDetail
			for _, name := range c.targets {
				details = append(details, systemv1beta1.NetReachDetail{TargetName: name})
			}
			var got []path
			for _, p := range places(details, &runtime.RawExtension{Raw: []byte(c.spec)}) {
				got = append(got, p.path)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(path{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnInterfaceThatTheReportNamesIsBelieved(t *testing.T) {
	details := []systemv1beta1.NetReachDetail{{TargetName: "AgentPodV4IP_agent-a_10.0.0.1", Interface: "net2"}, {TargetName: "AgentPodV4IP_agent-a_10.0.0.2"}, {TargetName: "AgentPodV4IP_agent-a_10.0.0.3", Interface: "net1"}}
	var got []path
	for _, p := range places(details, &runtime.RawExtension{Raw: []byte(`{}`)}) {
		got = append(got, p.path)
	}
	want := []path{{target.SecondInterface, topology.IPv4, "net2"}, {target.Endpoint, topology.IPv4, ""}, {target.SecondInterface, topology.IPv4, "net1"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(path{})); diff != "" {
		t.Error(diff)
	}
}

func TestFiguresOfSeveralTargets(t *testing.T) {
	var sum figures
	for _, f := range []figures{
		{targets: 1, sent: 100},
		{targets: 1, targetsOK: 1, sent: 100, ok: 100, mean: 1, p50: 0.9, p99: 4, max: 9},
		{targets: 1, targetsOK: 1, sent: 300, ok: 300, mean: 3, p50: 2.5, p99: 3, max: 5},
	} {
		sum.add(f)
	}
	if math.Abs(sum.mean-2.5) > 1e-9 {
		t.Errorf("mean is %v; each request counts alike, so it is 2.5", sum.mean)
	}
	if got, want := sum.latencies(), [4]string{"2.50", "≤2.50", "≤4.00", "9.00"}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if sum.ok != 400 || sum.sent != 500 || sum.targetsOK != 2 || sum.targets != 3 || sum.outcome() != failed {
		t.Errorf("got %+v", sum)
	}
}

func TestFiguresOfOneTargetAmongSilentOnesAreExact(t *testing.T) {
	var sum figures
	sum.add(figures{targets: 1, targetsOK: 1, sent: 1, ok: 1, mean: 1, p50: 1, p99: 1, max: 1})
	sum.add(figures{targets: 1, sent: 1})
	if got, want := sum.latencies(), [4]string{"1.00", "1.00", "1.00", "1.00"}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhatIsVoidCountsForNeitherSide(t *testing.T) {
	part := systemv1beta1.NetReachDetail{Succeed: true, Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 100, SuccessCounts: 80, VoidRequests: 20,
		KeptConnection: &systemv1beta1.KeptConnection{RequestCounts: 10, SuccessCounts: 6, VoidRequests: 3, ClosedByOtherSide: 3}}}
	whole := systemv1beta1.NetReachDetail{Result: "void", Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 50, VoidRequests: 50}}
	failing := systemv1beta1.NetReachDetail{Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10}}
	cases := []struct {
		name    string
		details []systemv1beta1.NetReachDetail
		outcome outcome
		targets string
		sent    int64
		notes   []string
	}{
		{"a part of the requests", []systemv1beta1.NetReachDetail{part}, passed, "1/1", 80,
			[]string{"1 of 7 requests failed over persistent connections, 1 because the other side had closed them", "excused: 20 of 100 requests"}},
		{"all of the target", []systemv1beta1.NetReachDetail{whole}, void, "0/0", 0, []string{"void: 1 target; excused: 50 of 50 requests"}},
		{"one of two targets", []systemv1beta1.NetReachDetail{whole, part}, passed, "1/1", 80,
			[]string{"1 of 7 requests failed over persistent connections, 1 because the other side had closed them", "void: 1 target; excused: 70 of 150 requests"}},
		{"one beside one that fails", []systemv1beta1.NetReachDetail{failing, whole}, failed, "0/1", 10, []string{"void: 1 target; excused: 50 of 60 requests"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sum figures
			for _, d := range c.details {
				sum.add(figuresOf(d))
			}
			if got := ratio(sum.targetsOK, sum.judged()); sum.outcome() != c.outcome || got != c.targets || sum.sent != c.sent {
				t.Errorf("%s, %s targets, %d requests; want %s, %s, %d", sum.outcome(), got, sum.sent, c.outcome, c.targets, c.sent)
			}
			if diff := cmp.Diff(c.notes, append(loss(sum), excused(sum)...)); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManyVoidTargetsOfOnePathAreCounted(t *testing.T) {
	g := group{path: path{target.Endpoint, topology.IPv4, ""}}
	for i := range manyTargets + 2 {
		d := systemv1beta1.NetReachDetail{Succeed: i > 1, Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10, SuccessCounts: 10}}
		if i < 2 {
			d = systemv1beta1.NetReachDetail{Result: "void", Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10, VoidRequests: 10}}
		}
		o := one{figures: figuresOf(d)}
		g.targets = append(g.targets, o)
		g.add(o.figures)
	}
	rows := groupRows(g, Options{})
	if len(rows) != 2 || rows[0].cells[colTargets] != "10/10" || rows[1].note != "void: 2 targets; excused: 20 of 120 requests" {
		t.Errorf("got %+v; want one row, and a note that counts the void targets", rows)
	}
}

func TestPhasesThatNobodyMeasuredAreLeftOut(t *testing.T) {
	m := systemv1beta1.HTTPMetrics{PhasesInMs: map[string]systemv1beta1.Phase{"body": {Mean: 1e-6, Max: 1e-6}, "connect": {Mean: 0.1, Max: 0.2}, "first byte": {Mean: 0.0005, Max: 0.001}}}
	if got, want := phasesOf(m), "connect 0.10/0.20, first byte 0.00/0.00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(m.PhasesInMs) != 3 {
		t.Errorf("the report itself has changed: %v", m.PhasesInMs)
	}
}

func TestPattern(t *testing.T) {
	pod4, pod6, cluster4 := path{target.Endpoint, topology.IPv4, ""}, path{target.Endpoint, topology.IPv6, ""}, path{target.ClusterIP, topology.IPv4, ""}
	net1 := path{target.SecondInterface, topology.IPv4, "net1"}
	cases := []struct {
		name     string
		failures []failure
		want     string
	}{
		{"one node is at an end of everything", []failure{{path: pod4, from: "a", to: "c"}, {path: pod6, from: "c", to: "b"}}, "look at c: every failing path starts or ends there, and it is only Pod IP."},
		{"one node, and one family", []failure{{path: pod6, from: "a", to: "c"}, {path: pod6, from: "b", to: "c"}}, "look at c: every failing path starts or ends there, and it is only Pod IP over IPv6."},
		{"a node that cannot reach itself", []failure{{path: pod4, from: "a", to: "a"}, {path: pod6, from: "a", to: "a"}}, "look at a: every failing path starts or ends there, and it is only Pod IP."},
		{"Services fail along with one node", []failure{{path: pod4, from: "a", to: "c"}, {path: pod4, from: "b", to: "c"}, {path: cluster4, from: "a", to: ""}}, "Services may fail for that alone."},
		{"between two nodes, either may be it", []failure{{path: pod4, from: "a", to: "b"}, {path: pod4, from: "b", to: "a"}}, "look at a and b: every failing path runs between them, and it is only Pod IP over IPv4."},
		{"one node alone sees failures", []failure{{path: cluster4, from: "a", to: ""}, {path: path{target.NodePort, topology.IPv4, ""}, from: "a", to: ""}}, "look at a: no other node sees a failure, and it is only IPv4."},
		{"one family fails everywhere", []failure{{path: pod6, from: "a", to: "b"}, {path: pod6, from: "c", to: "d"}, {path: path{target.Ingress, topology.IPv6, ""}, from: "a", to: ""}}, "it is only IPv6."},
		{"one of two interfaces fails", []failure{{path: net1, from: "a", to: "b"}, {path: net1, from: "c", to: "d"}}, "it is only interface net1 over IPv4."},
		{"what has no data is no evidence beside what failed", []failure{{path: pod6, from: "e", to: "f"}, {path: pod4, from: "a", to: "c", data: true}, {path: pod4, from: "c", to: "b", data: true}}, "look at c: every failing path starts or ends there, and it is only Pod IP over IPv4."},
		{"nothing in common", []failure{{path: pod4, from: "a", to: "b"}, {path: pod6, from: "c", to: "d"}, {path: cluster4, from: "d", to: ""}}, "begin with the first."},
	}
	everything := []path{pod4, pod6, cluster4, {target.ClusterIP, topology.IPv6, ""}, net1, {target.SecondInterface, topology.IPv4, "net2"}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			seen := evidence{failures: c.failures, tested: everything}
			for _, f := range c.failures {
				if f.data {
					seen.total.targets++
				}
			}
			if got := pattern(seen, true); !strings.HasSuffix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPatternClaimsNothingAboutWhatWasNotTested(t *testing.T) {
	pod4, cluster4 := path{target.Endpoint, topology.IPv4, ""}, path{target.ClusterIP, topology.IPv4, ""}
	got := pattern(evidence{failures: []failure{{path: pod4, from: "a", to: "c"}, {path: pod4, from: "b", to: "c"}, {path: cluster4, from: "a", to: ""}}, tested: []path{pod4, cluster4}}, true)
	if want := "look at c: every failing path between pods starts or ends there. Paths through Services may fail for that alone."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAgo(t *testing.T) {
	cases := map[time.Duration]string{
		0: "just now", time.Second: "1 second ago", 59 * time.Second: "59 seconds ago", 119 * time.Minute: "1 hour ago", 47 * time.Hour: "1 day ago", 200 * 24 * time.Hour: "200 days ago",
	}
	for age, want := range cases {
		if got := ago(age); got != want {
			t.Errorf("%s: got %q, want %q", age, got, want)
		}
	}
}

func TestWrapKeepsEveryWord(t *testing.T) {
	const text = "one two three-that-is-longer-than-the-whole-line-and-may-be-copied four"
	got := wrap(text, 30, 4)
	want := []string{"    one two", "    three-that-is-longer-than-the-whole-line-and-may-be-copied", "    four"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatDidNotPassBetweenManyIsBlamedOnce(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		f := fold{group: group{path: path{target.Endpoint, topology.IPv4, ""}}}
		for from := range 15 {
			for to := range 15 {
				o := one{place: place{pod: fmt.Sprint("pod-", to)}, reason: "timed out", figures: figures{targets: 1, sent: int64(random.IntN(9) + 1), worst: outcome(random.IntN(int(failed) + 1))}}
				f.add(o.figures)
				if o.worst.fails() {
					f.pairs = append(f.pairs, pair{from: fmt.Sprint("node-", from), one: o})
				}
			}
		}
		var want, got int64
		for _, p := range f.pairs {
			want += p.sent
		}
		rows := blame(f)
		for _, row := range rows {
			if _, sent, ok := strings.Cut(row.cells[colRequests], "/"); ok {
				n, err := strconv.ParseInt(sent, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		}
		if got != want || len(rows) > 3*(2*mostBlamed+1) {
			t.Errorf("seed %d: %d rows show %d requests of %d", seed, len(rows), got, want)
		}
	}
}

func TestClassesOfTargetsAddUp(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		var sum figures
		details := []systemv1beta1.NetReachDetail{{Succeed: true}, {}, {Result: "void"}, {Result: "no data"}, {Result: "tool-limited"}, {Result: "of a later release"}}
		want := make([]int, len(details))
		targets := random.IntN(40)
		for range targets {
			i := random.IntN(len(details))
			want[i]++
			sum.add(figuresOf(details[i]))
		}
		want[1], want = want[1]+want[5], want[:5]
		got := []int{sum.targetsOK, sum.targetsFailed(), sum.targetsVoid, sum.targetsNoData, sum.targetsLimited}
		if diff := cmp.Diff(want, got); diff != "" || sum.targets != targets {
			t.Errorf("seed %d: of %d targets, passed, failed, void, without data and limited are (-want +got):\n%s", seed, sum.targets, diff)
		}
	}
}
