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

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestPlaces(t *testing.T) {
	detail := func(kind target.Kind, family topology.Family, url string) systemv1beta1.TargetDetail {
		return systemv1beta1.TargetDetail{TargetKind: string(kind), IPFamily: string(family), TargetUrl: url}
	}
	pod := detail(target.Endpoint, topology.IPv4, "http://10.0.0.1:8080")
	pod.TargetPodName = "agent-a"
	second := detail(target.SecondInterface, topology.IPv6, "http://[fd00::1]:8080")
	second.TargetPodName, second.Interface = "agent-a", "net1"
	cases := []struct {
		name   string
		detail systemv1beta1.TargetDetail
		want   place
	}{
		{"a pod address", pod, place{path{target.Endpoint, topology.IPv4, ""}, "agent-a", "10.0.0.1:8080"}},
		{"a second interface", second,
			place{path{target.SecondInterface, topology.IPv6, "net1"}, "agent-a", "[fd00::1]:8080"}},
		{"an Ingress is named by its URL", detail(target.Ingress, topology.IPv4, "http://a.example/x"),
			place{path{target.Ingress, topology.IPv4, ""}, "", "http://a.example/x"}},
		{"a kind of a later release is shown by its own name", detail("Gateway", topology.IPv4, "http://10.0.0.9:80"),
			place{path{"Gateway", topology.IPv4, ""}, "", "10.0.0.9:80"}},
		{"a target of no kind is shown by its name", systemv1beta1.TargetDetail{TargetName: "AgentPodV4IP_a_10.0.0.1"},
			place{path{unknown, "", ""}, "", "AgentPodV4IP_a_10.0.0.1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := placeOf(c.detail); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
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
	part := systemv1beta1.TargetDetail{Succeed: true,
		Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 100, SuccessCounts: 80, VoidRequests: 20,
			KeptConnection: &systemv1beta1.KeptConnection{RequestCounts: 10, SuccessCounts: 6, VoidRequests: 3,
				ClosedByOtherSide: 3}}}
	whole := systemv1beta1.TargetDetail{Result: "void",
		Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 50, VoidRequests: 50}}
	failing := systemv1beta1.TargetDetail{Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10}}
	cases := []struct {
		name    string
		details []systemv1beta1.TargetDetail
		outcome outcome
		targets string
		sent    int64
		notes   []string
	}{
		{"a part of the requests", []systemv1beta1.TargetDetail{part}, passed, "1/1", 80,
			[]string{"1 of 7 requests failed over persistent connections, 1 because the other side had closed them",
				"excused: 20 of 100 requests"}},
		{"all of the target", []systemv1beta1.TargetDetail{whole}, void, "0/0", 0,
			[]string{"void: 1 target; excused: 50 of 50 requests"}},
		{"one of two targets", []systemv1beta1.TargetDetail{whole, part}, passed, "1/1", 80,
			[]string{"1 of 7 requests failed over persistent connections, 1 because the other side had closed them",
				"void: 1 target; excused: 70 of 150 requests"}},
		{"one beside one that fails", []systemv1beta1.TargetDetail{failing, whole}, failed, "0/1", 10,
			[]string{"void: 1 target; excused: 50 of 60 requests"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sum figures
			for _, d := range c.details {
				sum.add(figuresOf(d))
			}
			if got := ratio(sum.targetsOK, sum.judged()); sum.outcome() != c.outcome || got != c.targets ||
				sum.sent != c.sent {
				t.Errorf("%s, %s targets, %d requests; want %s, %s, %d", sum.outcome(), got, sum.sent, c.outcome,
					c.targets, c.sent)
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
		d := systemv1beta1.TargetDetail{Succeed: i > 1,
			Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10, SuccessCounts: 10}}
		if i < 2 {
			d = systemv1beta1.TargetDetail{Result: "void",
				Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 10, VoidRequests: 10}}
		}
		o := one{figures: figuresOf(d)}
		g.targets = append(g.targets, o)
		g.add(o.figures)
	}
	rows := groupRows(g, Options{})
	if len(rows) != 2 || rows[0].cells[colTargets] != "10/10" ||
		rows[1].note != "void: 2 targets; excused: 20 of 120 requests" {
		t.Errorf("got %+v; want one row, and a note that counts the void targets", rows)
	}
}

func TestPhasesThatNobodyMeasuredAreLeftOut(t *testing.T) {
	m := systemv1beta1.HTTPMetrics{PhasesInMs: map[string]systemv1beta1.Phase{"body": {Mean: 1e-6, Max: 1e-6},
		"connect": {Mean: 0.1, Max: 0.2}, "first byte": {Mean: 0.0005, Max: 0.001}}}
	if got, want := phasesOf(m), "connect 0.10/0.20, first byte 0.00/0.00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(m.PhasesInMs) != 3 {
		t.Errorf("the report itself has changed: %v", m.PhasesInMs)
	}
}

func TestAgo(t *testing.T) {
	cases := map[time.Duration]string{
		0: "just now", time.Second: "1 second ago", 59 * time.Second: "59 seconds ago", 119 * time.Minute: "1 hour ago",
		47 * time.Hour: "1 day ago", 200 * 24 * time.Hour: "200 days ago",
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
				o := one{place: place{pod: fmt.Sprint("pod-", to)}, reason: "timed out",
					figures: figures{targets: 1, sent: int64(random.IntN(9) + 1),
						worst: outcome(random.IntN(int(failed) + 1))}}
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
		rows := blame(f, "")
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

func TestSmallestLossesOfKindsAreThoseOfTheirProbes(t *testing.T) {
	rungs := map[target.Kind]ladder.Rung{target.Endpoint: ladder.PodToPod,
		target.SecondInterface: ladder.SecondInterface, target.ClusterIP: ladder.ClusterIP,
		target.NodePort: ladder.NodePort, target.LoadBalancer: ladder.LoadBalancer, target.Ingress: ladder.Ingress}
	for _, row := range target.Kinds() {
		rung, ok := rungs[row.Kind]
		if got := lossTitle(row.Kind); !ok || got != diagnose.RungTitle(rung) {
			t.Errorf("%s: got %q, want %q", row.Kind, got, diagnose.RungTitle(rung))
		}
		d := &systemv1beta1.Diagnosis{SmallestLoss: []systemv1beta1.SmallestLoss{{Path: "host to host", Percent: 50},
			{Path: diagnose.RungTitle(rung), Percent: 2.25}}}
		if got := smallestLoss(row.Kind, d); got != "2.2%" {
			t.Errorf("%s: got %q, want that of its own probes", row.Kind, got)
		}
	}
}

func TestAMatrixHasTheWorstOfEachCellAndIsBounded(t *testing.T) {
	way := path{target.NodePort, topology.IPv4, ""}
	ok := figures{targets: 1, targetsOK: 1, sent: 10, ok: 10}
	bad := figures{targets: 1, sent: 10, worst: failed}
	var all []source
	for i := range mostInMatrix + 3 {
		g := group{path: way, targets: []one{{node: "b", figures: ok}, {node: "a", figures: ok}}}
		if i == mostInMatrix+2 {
			g.targets = append(g.targets, one{node: "b", figures: bad})
		}
		for _, t := range g.targets {
			g.add(t.figures)
		}
		all = append(all, source{node: fmt.Sprintf("node-%02d", i),
			groups: []group{g, {path: path{target.Endpoint, topology.IPv4, ""}, targets: []one{{node: "c"}}}}})
	}
	m := matrixOf(way, all)
	if diff := cmp.Diff([]string{"a", "b"}, m.To); diff != "" || len(m.Rows) != mostInMatrix || m.MoreFrom != 3 ||
		m.MoreTo != 0 {
		t.Errorf("%d rows and %d more, %d more columns, columns (-want +got):\n%s", len(m.Rows), m.MoreFrom, m.MoreTo,
			diff)
	}
	want := MatrixRow{From: fmt.Sprintf("node-%02d", mostInMatrix+2),
		Cells: []MatrixCell{{Result{"pass", Good}, "10/10"}, {Result{"FAIL", Bad}, "10/20"}}}
	if diff := cmp.Diff(want, m.Rows[len(m.Rows)-1]); diff != "" {
		t.Errorf("the row of the node that failed (-want +got):\n%s", diff)
	}
	if m.Result.Word != "FAIL" || m.Passed != 54 || m.Judged != 55 {
		t.Errorf("in all %s, %d of %d passed", m.Result.Word, m.Passed, m.Judged)
	}
}

func TestClassesOfTargetsAddUp(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		var sum figures
		details := []systemv1beta1.TargetDetail{{Succeed: true}, {}, {Result: "void"}, {Result: "no data"},
			{Result: "tool-limited"}, {Result: "of a later release"}}
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
			t.Errorf("seed %d: of %d targets, passed, failed, void, without data and limited are (-want +got):\n%s",
				seed, sum.targets, diff)
		}
	}
}
