package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestTheHeadIsTheRoundWithoutItsAgents(t *testing.T) {
	s := memory(t)
	want := storetest.Kept(key("u1", 1))
	want.Round.Expected = append(want.Round.Expected, report.Expected{Pod: "c", Paths: 7})
	want.Round.Backends = []report.BackendSet{{Targets: []string{"x"}, Pods: []string{"a"}}}
	want.Round.Agents[0].Sums = []report.Sum{{Zone: "z", Paths: 9, NotPassed: 2}, {Paths: 1, NotPassed: 1}}
	if err := s.PutRound(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	at, err := s.LatestKey(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Head(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	head := store.Head{Round: want.Round, Verdict: want.Verdict, Spec: want.Spec,
		Summary: store.Summary{Reports: 1, Planned: 8, Listed: 2, Summed: 10, SummedNotPassed: 3,
			Agents: map[verdict.Result]int{}, Paths: map[verdict.Result]int{}}}
	for _, a := range want.Verdict.Agents {
		head.Summary.Agents[a.Result]++
		for _, p := range a.Paths {
			head.Summary.Paths[p.Result]++
		}
	}
	if len(head.Summary.Agents) == 0 || len(head.Summary.Paths) == 0 {
		t.Errorf("the round has no judgement, so nothing was tested: %+v", head.Summary)
	}
	head.Round.Agents, head.Round.Backends, head.Verdict.Agents = nil, nil, nil
	head.Round.Expected = slices.Clone(head.Round.Expected)
	for i := range head.Round.Expected {
		head.Round.Expected[i].Targets = nil
	}
	if diff := cmp.Diff(head, got, storetest.Exact()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// parted is a round of which some agents are not judged and some judgements have no report.
func parted() verdict.StoredRound {
	of := verdict.StoredRound{Round: report.Round{Key: key("u1", 1)}}
	for _, pod := range []string{"a", "b", "d", "e", "b"} {
		of.Round.Agents = append(of.Round.Agents, report.AgentReport{Pod: pod, Node: "n" + pod,
			Paths: []report.Path{{Sent: 1, OK: 1}, {}}})
	}
	for _, pod := range []string{"b", "c", "d", "a", "f"} {
		of.Verdict.Agents = append(of.Verdict.Agents, verdict.JudgedAgent{Pod: pod, Node: "n" + pod,
			Result: verdict.Fail, Paths: []verdict.JudgedPath{{Target: "x", Result: verdict.Pass}}})
	}
	return of
}

func TestAgentsComeOneByOne(t *testing.T) {
	s := memory(t)
	want := parted()
	if err := s.PutRound(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	var reports []report.AgentReport
	var judged []verdict.JudgedAgent
	var names []string
	for agent, err := range s.Agents(t.Context(), want.Round.Key, nil) {
		if err != nil {
			t.Fatal(err)
		}
		name := "-"
		if agent.Report != nil {
			reports = append(reports, *agent.Report)
			name = agent.Report.Pod
		}
		if agent.Verdict != nil {
			judged = append(judged, *agent.Verdict)
			name += agent.Verdict.Pod
		}
		names = append(names, name)
	}
	if diff := cmp.Diff(want.Round.Agents, reports, storetest.Exact()); diff != "" {
		t.Errorf("reports (-put +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Verdict.Agents, judged, storetest.Exact()); diff != "" {
		t.Errorf("judgements (-put +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "bb", "-c", "dd", "-a", "-f", "e", "b"}, names); diff != "" {
		t.Errorf("the report and the judgement of a pod come together where their orders allow (-want +got):\n%s", diff)
	}
	var wanted []string
	for agent, err := range s.Agents(t.Context(), want.Round.Key, func(pod, node string) bool {
		wanted = append(wanted, pod+" "+node)
		return node == "nd"
	}) {
		if err != nil || agent.Report.Pod != "d" {
			t.Errorf("got %+v, %v; want d alone", agent, err)
		}
	}
	if len(wanted) != 8 || wanted[2] != "c nc" {
		t.Errorf("asked for %q, want all eight", wanted)
	}
	for range s.Agents(t.Context(), want.Round.Key, nil) {
		break // whoever stops early gets nothing more
	}
}

func TestOneAgentIsRead(t *testing.T) {
	s := memory(t)
	of := parted()
	if err := s.PutRound(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pod    string
		report *report.AgentReport
		judged *verdict.JudgedAgent
	}{
		{"a", &of.Round.Agents[0], &of.Verdict.Agents[3]},
		{"b", &of.Round.Agents[1], &of.Verdict.Agents[0]},
		{"c", nil, &of.Verdict.Agents[1]},
		{"e", &of.Round.Agents[3], nil},
	} {
		got, err := s.Agent(t.Context(), of.Round.Key, c.pod)
		if err != nil {
			t.Errorf("%s: %v", c.pod, err)
		}
		if diff := cmp.Diff(store.Agent{Report: c.report, Verdict: c.judged}, got, storetest.Exact()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.pod, diff)
		}
	}
	if _, err := s.Agent(t.Context(), of.Round.Key, "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an agent that the round does not have: got %v, want ErrNotFound", err)
	}
}

func TestAPartIsReadWithoutWhatStandsBehindIt(t *testing.T) {
	s, dir := folder(t)
	of := parted()
	if err := s.PutRound(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "u1", "0000000001", fmt.Sprintf("%010d.json.gz", 1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if head, err := s.Head(t.Context(), of.Round.Key); err != nil || head.Summary.Reports != 5 {
		t.Errorf("the head is %+v, %v", head, err)
	}
	if _, err := s.Agent(t.Context(), of.Round.Key, "b"); err != nil {
		t.Errorf("an agent with a report and a judgement: %v", err)
	}
	var last error
	seen := 0
	for _, err := range s.Agents(t.Context(), of.Round.Key, nil) {
		if last = err; err == nil {
			seen++
		}
	}
	if seen != 8 || !errors.Is(last, store.ErrCorrupt) {
		t.Errorf("%d agents came before %v; want eight before ErrCorrupt", seen, last)
	}
	if _, err := s.Round(t.Context(), of.Round.Key); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the round: got %v, want ErrCorrupt", err)
	}
}

func TestPartsOfWhatIsNotThereOrDamagedAreErrors(t *testing.T) {
	s, dir := folder(t)
	put(t, s, "u1", 1)
	path := filepath.Join(dir, "u1", "0000000001", fmt.Sprintf("%010d.json.gz", 1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)/4], 0o600); err != nil {
		t.Fatal(err)
	}
	for round, want := range map[int64]error{1: store.ErrCorrupt, 2: store.ErrNotFound} {
		k := key("u1", round)
		_, headErr := s.Head(t.Context(), k)
		_, agentErr := s.Agent(t.Context(), k, "a")
		var allErr error
		for _, err := range s.Agents(t.Context(), k, nil) {
			allErr = err
		}
		for what, err := range map[string]error{"head": headErr, "agent": agentErr, "agents": allErr} {
			if !errors.Is(err, want) {
				t.Errorf("%s of round %d: got %v, want %v", what, round, err, want)
			}
		}
	}
	if _, err := s.LatestKey(t.Context(), "u2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
