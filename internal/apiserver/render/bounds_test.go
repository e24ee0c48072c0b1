package render_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/verdict"
)

func sizeOf(t *testing.T, r *systemv1beta1.KdoctorReport) int {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return len(text)
}

func TestTheReportIsBoundedAtEverySize(t *testing.T) {
	for name, shape := range map[string]roundtest.Shape{
		"3 agents":                       {Agents: 3, Dead: -1},
		"100 agents":                     {Agents: 100, Dead: -1},
		"1,000 agents":                   {Agents: 1000, Dead: -1},
		"1,000 agents, one node is dead": {Agents: 1000, Dead: 17},
		"1,000 agents in trouble":        {Agents: 1000, Dead: 17, Troubled: true},
		"5,000 agents":                   {Agents: 5000, Dead: -1, Rotate: true},
		"5,000 agents in trouble":        {Agents: 5000, Dead: 17, Troubled: true},
	} {
		t.Run(name, func(t *testing.T) {
			stored := roundtest.New("u", shape)
			began := time.Now()
			r := render.Report(task(), stored)
			took, bytes := time.Since(began), sizeOf(t, r)
			t.Logf("%d bytes, rendered in %s", bytes, took)
			if bytes > render.MaxBytes {
				t.Errorf("the object has %d bytes, expected at most %d", bytes, render.MaxBytes)
			}
			if small := shape.Agents == 3; small != (r.Spec.ReportOmitted == "") || small != (len(r.Spec.Report) > 0) {
				t.Errorf("%d agents are in Report, and ReportOmitted is %q", len(r.Spec.Report), r.Spec.ReportOmitted)
			}
			checkCounts(t, shape, stored, r)
		})
	}
}

// checkCounts holds the object against the round: nothing may be lost, and nothing unknown may pass.
func checkCounts(t *testing.T, shape roundtest.Shape, stored verdict.StoredRound, r *systemv1beta1.KdoctorReport) {
	t.Helper()
	var planned, got, passed, requests int64
	missing := map[string]bool{}
	for _, m := range stored.Round.Missing {
		missing[m.Pod] = true
	}
	for _, e := range stored.Round.Expected {
		if !missing[e.Pod] {
			planned += int64(e.Paths) + int64(len(e.Targets))
		}
	}
	for _, p := range r.Spec.Summary.Paths {
		if sum := p.Passed + p.Failed + p.ToolLimited + p.NoData + p.Void + p.NotPassed; sum != p.Paths {
			t.Errorf("%s: the counts add up to %d, want %d", p.TargetKind, sum, p.Paths)
		}
		got, passed, requests = got+p.Paths, passed+p.Passed, requests+p.RequestCounts
	}
	dead := int64(0)
	if shape.Dead >= 0 {
		dead = 2 * int64(shape.Agents-1)
	}
	if got != planned || passed != planned-dead || requests != 10*planned {
		t.Errorf("%d paths, %d passed, %d requests; want %d, %d, %d", got, passed, requests, planned, planned-dead,
			10*planned)
	}
	left := systemv1beta1.LeftOut{}
	if r.Spec.LeftOut != nil {
		left = *r.Spec.LeftOut
	}
	for list, n := range map[string][2]int64{
		"Reasons":     {int64(len(r.Spec.Reasons)) + left.Reasons, int64(len(stored.Verdict.Reasons))},
		"NotReported": {int64(len(r.Spec.NotReported)) + left.NotReported, int64(len(stored.Round.Missing))},
		"Outside":     {int64(len(r.Spec.Outside)) + left.Outside, int64(len(stored.Round.Outside))},
		"Churn":       {int64(len(r.Spec.Churn)) + left.Churn, int64(len(stored.Round.Churn))},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d entries are there or counted, want %d", list, n[0], n[1])
		}
	}
	first := append(r.Spec.NodesNotPassed, systemv1beta1.NodeSummary{})[0]
	if shape.Dead >= 0 && (first.NodeName != roundtest.Node(shape.Dead) || first.NotPassedTo != dead) {
		t.Errorf("the dead node is not the first of those that did not pass: %+v", first)
	}
}

func TestWhatAnOmittedReportStillSays(t *testing.T) {
	r := render.Report(task(), roundtest.New("u", roundtest.Shape{Agents: 1000, Dead: 17, Rotate: true}))
	if c := r.Spec.Coverage; c == nil || c.Mode != "Rotate" || c.EveryPairWithin != "10m0s" ||
		c.EveryPairWithinRounds != 10 || c.PairsProbed != 100_000 || c.PairsInAll != 1_000_000 || c.Oldest != nil {
		t.Errorf("coverage is %+v", c)
	}
	for _, part := range []string{"The round has 200799 paths", "report netreach/task",
		"--field-selector report=netreach-task:1.1"} {
		if !strings.Contains(r.Spec.ReportOmitted, part) {
			t.Errorf("%q is not in %q", part, r.Spec.ReportOmitted)
		}
	}
	if len(r.Spec.WorstPaths) != 50 || r.Spec.WorstPaths[0].Result != "fail" ||
		r.Spec.WorstPaths[0].RequestCounts != 10 || r.Spec.WorstPaths[0].SuccessCounts != 0 ||
		r.Spec.WorstPaths[0].TargetNodeName != roundtest.Node(17) {
		t.Errorf("%d worst paths, the first is %+v", len(r.Spec.WorstPaths), r.Spec.WorstPaths[0])
	}
	if n := len(r.Spec.ZonePairsNotPassed); n != 10 {
		t.Errorf("%d pairs of zones did not pass, want 10", n)
	}
	healthy := render.Report(task(), roundtest.New("u", roundtest.Shape{Agents: 1000, Dead: -1, Rotate: true}))
	if len(healthy.Spec.NodesNotPassed)+len(healthy.Spec.ZonePairsNotPassed) != 0 {
		t.Errorf("in a healthy round %+v and %+v did not pass", healthy.Spec.NodesNotPassed,
			healthy.Spec.ZonePairsNotPassed)
	}
	for i, p := range healthy.Spec.WorstPaths[1:] {
		if p.P99InMs > healthy.Spec.WorstPaths[i].P99InMs {
			t.Fatalf("path %d of the slowest is slower than the one before", i+1)
		}
	}
	if first := healthy.Spec.WorstPaths[0]; first.P99InMs < 30 || first.FailureReason != "" {
		t.Errorf("the slowest path is %+v", first)
	}
}

func TestAStreamOfAgentsIsRenderedAsTheWholeRound(t *testing.T) {
	stored := roundtest.New("u", roundtest.Shape{Agents: 300, Dead: 17, Troubled: true, Rotate: true})
	for i := range stored.Round.Agents {
		stored.Round.Agents[i].Paths[0].Target.ShortCircuit = i%2 == 0
	}
	head := stored
	head.Round.Agents, head.Round.Backends, head.Verdict.Agents = nil, nil, nil
	stream := render.NewStream(task(), head)
	judged := render.JudgedAgents(stored.Verdict)
	for i := range stored.Round.Agents {
		a := &stored.Round.Agents[i]
		stream.Add(a, new(judged(a.Pod)))
	}
	want := render.Report(task(), stored)
	if diff := cmp.Diff(want, stream.Report()); diff != "" || len(want.Spec.Notes) < 3 {
		t.Errorf("the stream differs, or there are no notes to compare (-want +got):\n%s", diff)
	}
}

// A path in JSON is never smaller than what decides, before paths are rendered, that they are too many.
func TestPathsThatJustFitAreThere(t *testing.T) {
	most := 0
	for n := 2; n < 20; n++ {
		r := render.Report(task(), roundtest.New("u", roundtest.Shape{Agents: n, Dead: -1}))
		if r.Spec.ReportOmitted != "" {
			break
		}
		most = n
	}
	again := render.Report(task(), roundtest.New("u", roundtest.Shape{Agents: most, Dead: -1}))
	if bytes := sizeOf(t, again); most < 5 || bytes > render.MaxBytes {
		t.Errorf("the largest round that is there whole has %d agents and %d bytes", most, bytes)
	} else {
		t.Logf("the largest round that is there whole has %d agents and %d bytes", most, bytes)
	}
}

func TestLongSentencesAreCutAndNothingElse(t *testing.T) {
	stored := roundtest.New("u", roundtest.Shape{Agents: 100, Dead: 3})
	for i := range 300 {
		stored.Verdict.Reasons = append(stored.Verdict.Reasons, verdict.Reason{Code: verdict.NotReported,
			Text: strings.Repeat("ä", 5000+i)})
	}
	r := render.Report(task(), stored)
	if bytes := sizeOf(t, r); bytes > render.MaxBytes {
		t.Errorf("the object has %d bytes", bytes)
	}
	for _, reason := range r.Spec.FailedReasons {
		if len(reason) > 1000 || strings.Contains(reason, "\ufffd") {
			t.Errorf("a sentence has %d bytes", len(reason))
		}
	}
	if n := int64(len(r.Spec.Reasons)) + r.Spec.LeftOut.Reasons; n != int64(len(stored.Verdict.Reasons)) {
		t.Errorf("%d reasons are there or counted", n)
	}
}

func TestALineIsWhatIsReadInTheRenderedReport(t *testing.T) {
	for name, shape := range map[string]roundtest.Shape{
		"healthy": {Agents: 200, Dead: -1}, "a dead node": {Agents: 200, Dead: 17},
		"trouble": {Agents: 200, Dead: 17, Troubled: true},
	} {
		stored := roundtest.New("u", shape)
		// One agent told less than was planned, another did not judge all that it tells.
		stored.Round.Agents[3].Sums = stored.Round.Agents[3].Sums[1:]
		stored.Round.Agents[4].Sums[2].NotPassed = 2
		want := render.Summarize(render.Report(task(), stored))
		head := stored
		head.Round.Agents, head.Verdict.Agents = nil, nil
		got := render.Line(task(), head, roundtest.Counts(stored))
		got.Ended = want.Ended
		if diff := cmp.Diff(want, got); diff != "" || want.Paths.NotPassed != 2 || want.Paths.NoData == 0 {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}
