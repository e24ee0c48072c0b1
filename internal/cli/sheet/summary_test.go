package sheet_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

func largeTask() render.ReportedTask {
	return render.ReportedTask{Kind: "NetReach", Name: "task", UID: "u", Generation: 1, ExpectedRounds: -1,
		DoneRounds: 1}
}

func large(shape roundtest.Shape) v1beta1.KdoctorReport {
	return *render.Report(largeTask(), roundtest.New("u", shape))
}

func TestReportsWithoutSinglePaths(t *testing.T) {
	healthy := roundtest.Shape{Agents: 1000, Dead: -1, Rotate: true}
	dead := roundtest.Shape{Agents: 1000, Dead: 17}
	trouble := roundtest.Shape{Agents: 1000, Dead: 17, Troubled: true, Rotate: true}
	for _, c := range []struct {
		name    string
		shape   roundtest.Shape
		options sheet.Options
	}{
		{"summary_healthy", healthy, sheet.Options{Width: 120}},
		{"summary_all_listed", roundtest.Shape{Agents: 60, Dead: -1}, sheet.Options{Width: 120}},
		{"summary_dead_node", dead, sheet.Options{Width: 120}},
		{"summary_dead_node_in_80_columns", dead, sheet.Options{Width: 80}},
		{"summary_dead_node_with_colour", dead, sheet.Options{Width: 120, Color: true}},
		{"summary_trouble", trouble, sheet.Options{Width: 120}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := show(t, c.name, large(c.shape), c.options)
			if n := strings.Count(got, "\n"); n > 60 && c.options.Width >= 120 {
				t.Errorf("the sheet has %d lines, expected at most 60", n)
			}
		})
	}
}

func TestPassedWithoutSinglePaths(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1beta1.KdoctorReportSpec)
		want   bool
	}{
		"every agent passed": {func(*v1beta1.KdoctorReportSpec) {}, true},
		"an agent is void": {func(s *v1beta1.KdoctorReportSpec) {
			s.Summary.Agents.Passed--
			s.Summary.Agents.Void++
		}, true},
		"an agent failed": {func(s *v1beta1.KdoctorReportSpec) { s.Summary.Agents.Failed++ }, false},
		"an agent's failures are explained": {func(s *v1beta1.KdoctorReportSpec) { s.Summary.Agents.Explained++ },
			false},
		"no agent passed":    {func(s *v1beta1.KdoctorReportSpec) { s.Summary.Agents.Passed = 0 }, false},
		"an agent is silent": {func(s *v1beta1.KdoctorReportSpec) { s.Summary.Agents.Expected++ }, false},
		"there is a reason": {func(s *v1beta1.KdoctorReportSpec) { s.FailedReasons = []string{"no Ingress"} },
			false},
		"the summary is absent": {func(s *v1beta1.KdoctorReportSpec) { s.Summary = nil }, false},
		"an agent was changed": {func(s *v1beta1.KdoctorReportSpec) {
			s.Summary.Agents.Expected++
			s.Summary.Agents.NotReportedVoid++
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := large(roundtest.Shape{Agents: 60, Dead: -1})
			c.change(&r.Spec)
			if got := sheet.Passed(r); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// paged shows those paths of a round that are wanted, in pages of the size.
func paged(t *testing.T, shape roundtest.Shape, o sheet.Options, size int) string {
	t.Helper()
	stored := roundtest.New("u", shape)
	o.Now = began.Add(200 * time.Second)
	var got bytes.Buffer
	s := sheet.NewSingle(&got, *render.Report(largeTask(), stored), o)
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	single, judged := render.NewSingle("netreach-task", stored.Round), render.JudgedAgents(stored.Verdict)
	var all v1beta1.KdoctorPathList
	for _, a := range stored.Round.Agents {
		if o.Node != "" && a.Node != o.Node {
			continue
		}
		all.Items = append(all.Items, single.Paths(a, new(judged(a.Pod)), func(c render.Chosen) bool {
			return (!o.Failed || c.Result != verdict.Pass) && (o.Kind == "" || c.Kind == string(o.Kind)) &&
				(o.Target == "" || c.TargetNode == o.Target)
		})...)
		if o.Node != "" && !o.Failed {
			all.Summed = append(all.Summed, single.Sums(a, func(string) bool { return true })...)
		}
	}
	for len(all.Items) > size {
		page := all
		page.Items, all.Items, all.Summed = all.Items[:size], all.Items[size:], nil
		if err := s.Page(page); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Page(all); err != nil {
		t.Fatal(err)
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestSinglePaths(t *testing.T) {
	dead := roundtest.Shape{Agents: 200, Dead: 17, Rotate: true}
	for _, c := range []struct {
		name    string
		options sheet.Options
	}{
		{"single_of_a_node", sheet.Options{Width: 120, Node: roundtest.Node(5)}},
		{"single_of_a_node_wide", sheet.Options{Node: roundtest.Node(5), Wide: true}},
		{"single_failed_of_a_node", sheet.Options{Width: 120, Node: roundtest.Node(5), Failed: true}},
		{"single_to_a_node", sheet.Options{Width: 120, Target: roundtest.Node(4)}},
		{"single_failed_by_kind_in_80_columns", sheet.Options{Width: 80, Kind: target.NodePort, Failed: true}},
		{"single_failed", sheet.Options{Width: 120, Failed: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := paged(t, dead, c.options, 50)
			golden(t, filepath.Join("testdata", c.name+".txt"), got)
			if c.options.Width > 0 {
				checkWidth(t, got, c.options.Width)
			}
			if c.options.Node == "" {
				return
			}
			// Small pages differ in their columns alone.
			other := paged(t, dead, c.options, 3)
			if a, b := strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(other), " "); a != b {
				t.Errorf("pages of 3 read\n%s\ninstead of\n%s", other, got)
			}
		})
	}
}

func TestTargetsAndKindsOfAWholeReport(t *testing.T) {
	small := large(roundtest.Shape{Agents: 4, Dead: 2})
	for i, o := range []sheet.Options{
		{Width: 120, Target: roundtest.Node(2)},
		{Width: 120, Kind: target.ClusterIP},
		{Width: 120, Kind: target.NodePort, Node: roundtest.Node(0), Target: roundtest.Node(1)},
	} {
		show(t, fmt.Sprintf("chosen_%d", i+1), small, o)
	}
}
