package verdict_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// The first release stored reasons as sentences, and a void path as one without data, with a mark.
const ofTheFirstRelease = `{"Result":"fail","Reasons":[
"no Ingress target over IPv6: the agents have no Ingress",
"agent c on node node-c did not report: pod is Pending: 0/3 nodes",
"agent d did not report: no node takes its pod",
"agent a on node node-a: x: 7 of 10 requests succeeded, expected a rate of at least 1 (3 Timeout at connect)",
"nothing is left to judge: pod b on node node-b: its pod was deleted"],
"Agents":[
{"Pod":"a","Node":"node-a","Result":"fail","Reason":"x: 7 of 10 requests succeeded","Void":false,"Paths":[
{"Target":"x","Result":"fail","Reason":"7 of 10 requests succeeded","Void":false},
{"Target":"y","Result":"no data","Reason":"all 10 requests are void: pod b on node node-b: its pod was deleted","Void":true},
{"Target":"z","Result":"pass","Reason":"","Void":false}]},
{"Pod":"b","Node":"node-b","Result":"no data","Reason":"its pod was deleted during the round","Void":true,"Paths":null}]}`

func TestVerdictsOfTheFirstReleaseAreRead(t *testing.T) {
	var got verdict.Verdict
	if err := json.Unmarshal([]byte(ofTheFirstRelease), &got); err != nil {
		t.Fatal(err)
	}
	want := verdict.Verdict{Result: verdict.Fail,
		Reasons: []verdict.Reason{
			{Text: "no Ingress target over IPv6: the agents have no Ingress"},
			{Code: verdict.NotReported, Pod: "c", Node: "node-c", Text: "pod is Pending: 0/3 nodes"},
			{Code: verdict.NotReported, Pod: "d", Text: "no node takes its pod"},
			{Pod: "a", Node: "node-a", Text: "x: 7 of 10 requests succeeded, expected a rate of at least 1 (3 " +
				"Timeout at connect)"},
			{Code: verdict.NothingLeft, Text: "pod b on node node-b: its pod was deleted"},
		},
		Agents: []verdict.JudgedAgent{
			{Pod: "a", Node: "node-a", Result: verdict.Fail,
				Reason: verdict.Reason{Text: "x: 7 of 10 requests succeeded"}, Paths: []verdict.JudgedPath{
					{Target: "x", Result: verdict.Fail, Reason: verdict.Reason{Text: "7 of 10 requests succeeded"}},
					{Target: "y", Result: verdict.Void,
						Reason: verdict.Reason{Text: "all 10 requests are void: pod b on node node-b: its pod was deleted"}},
					{Target: "z", Result: verdict.Pass},
				}},
			{Pod: "b", Node: "node-b", Result: verdict.Void,
				Reason: verdict.Reason{Text: "its pod was deleted during the round"}},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var sentences struct{ Reasons []string }
	if err := json.Unmarshal([]byte(ofTheFirstRelease), &sentences); err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Reasons {
		if r.String() != sentences.Reasons[i] {
			t.Errorf("reads %q, and says %q", sentences.Reasons[i], r)
		}
	}
}

func TestSentencesThatNameNoAgentStayAsTheyAre(t *testing.T) {
	for _, sentence := range []string{"", "agent", "agent without a colon", "no agent reported"} {
		raw, err := json.Marshal(sentence)
		if err != nil {
			t.Fatal(err)
		}
		var got verdict.Reason
		if err := json.Unmarshal(raw, &got); err != nil || got.String() != sentence || got.Pod != "" {
			t.Errorf("%q: got %+v, %v", sentence, got, err)
		}
	}
}

func TestWhatIsNoVerdictIsAnError(t *testing.T) {
	for _, raw := range []string{`{"Reasons":[1]}`, `{"Reasons":["\ud800`, `{"Agents":[1]}`,
		`{"Agents":[{"Paths":[1]}]}`} {
		var got verdict.Verdict
		if json.Unmarshal([]byte(raw), &got) == nil {
			t.Errorf("%s: got %+v and no error", raw, got)
		}
	}
}

func TestVerdictsAreStoredWhole(t *testing.T) {
	limited := throttledAgent(path("x", 100, 100, 95, time.Millisecond, timedOut(5)),
		path("y", 100, 100, 100, time.Second))
	limited.Observer.Quota = math.Inf(1)
	round := report.Round{Churn: deleted("b", "c"),
		Expected: []report.Expected{expected("a", "x", "z"), planned(10, "d", "x")},
		Agents: []report.AgentReport{limited,
			agent("d", by("", "b", path("x", 10, 10, 0, 0, excused(10))),
				path("w", 10, 10, 9, time.Millisecond, report.Failure{Outcome: probe.Other, Count: 1}))}}
	want := verdict.Judge(round, strict())
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got verdict.Verdict
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
