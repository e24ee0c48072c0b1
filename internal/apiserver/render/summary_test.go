package render_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// judgement is one that a path may have, and where it counts.
type judgement struct {
	path verdict.JudgedPath
	in   func(*render.Paths)
}

func judgements() []judgement {
	return []judgement{
		{verdict.JudgedPath{Result: verdict.Pass}, func(p *render.Paths) { p.Passed++ }},
		{verdict.JudgedPath{Result: verdict.Fail}, func(p *render.Paths) { p.Failed++ }},
		{verdict.JudgedPath{Result: verdict.NoData}, func(p *render.Paths) { p.NoData++ }},
		{verdict.JudgedPath{Result: verdict.ToolLimited}, func(p *render.Paths) { p.ToolLimited++ }},
		{verdict.JudgedPath{Result: verdict.Void}, func(p *render.Paths) { p.Void++ }},
		{verdict.JudgedPath{Result: "of a later release"}, func(p *render.Paths) { p.Failed++ }},
	}
}

func TestEveryPathIsCountedOnce(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var kept verdict.StoredRound
		var want render.Paths
		paths := 0
		for a := range random.IntN(5) {
			pod := fmt.Sprintf("agent-%d", a)
			measured, judged := report.AgentReport{Pod: pod}, verdict.JudgedAgent{Pod: pod}
			expected := report.Expected{Pod: pod}
			for i := range random.IntN(12) {
				id := fmt.Sprintf("target-%d", i)
				paths++
				expected.Targets = append(expected.Targets, id)
				if random.IntN(8) == 0 {
					// Expected, and the agent tells nothing of it.
					want.NoData++
					continue
				}
				measured.Paths = append(measured.Paths, path(target.Endpoint, id, "http://192.0.2.1:8080"))
				is := judgements()[random.IntN(len(judgements()))]
				is.path.Target = id
				is.in(&want)
				judged.Paths = append(judged.Paths, is.path)
			}
			kept.Round.Agents, kept.Round.Expected = append(kept.Round.Agents, measured),
				append(kept.Round.Expected, expected)
			kept.Verdict.Agents = append(kept.Verdict.Agents, judged)
		}
		got := render.Summarize(render.Report(task(), kept)).Paths
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: paths (-want +got):\n%s", seed, diff)
		}
		if sum := got.Judged() + got.Void; sum != paths {
			t.Fatalf("seed %d: the counts add up to %d of %d paths: %+v", seed, sum, paths, got)
		}
	}
}

func TestARoundBeyondThosePlannedIsNotCountedAmongThem(t *testing.T) {
	for number, want := range map[int64]string{1: "1/1", 2: "2"} {
		var r systemv1beta1.KdoctorReport
		r.Spec.RoundNumber, r.Spec.ReportRoundNumber = 1, number
		if got := render.Summarize(&r).Round; got != want {
			t.Errorf("round %d of one: got %q, want %q", number, got, want)
		}
	}
}

func TestOthersNamesOnlyWhatThereIs(t *testing.T) {
	for want, paths := range map[string]render.Paths{
		"":               {Passed: 3},
		"1 fail, 2 void": {Passed: 3, Failed: 1, Void: 2},
		"1 fail, 2 no data, 3 tool-limited, 4 void": {Failed: 1, NoData: 2, ToolLimited: 3, Void: 4},
	} {
		if got := paths.Others(); got != want {
			t.Errorf("%+v: got %q, want %q", paths, got, want)
		}
	}
}
