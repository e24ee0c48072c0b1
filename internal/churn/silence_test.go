package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
)

func TestAgentsWithoutAWholeReport(t *testing.T) {
	gone := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(50), WindowEnd: at(52)}
	drained := report.Change{Pod: "b", Node: "nb", Kind: report.Drained, WindowStart: at(50), WindowEnd: at(52)}
	oom := report.Change{Pod: "b", Node: "nb", Kind: report.Restarted, Detail: "OOMKilled", WindowStart: at(50),
		WindowEnd: at(52)}
	crashed := report.Change{Pod: "b", Node: "nb", Kind: report.Restarted, WindowStart: at(50)}
	again := report.Change{Pod: "b", Node: "nb", Kind: report.Restarted, Detail: "Error", WindowStart: at(60),
		WindowEnd: at(62)}
	endless := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(50)}
	never := time.Time{}
	cases := []struct {
		name             string
		changes          []report.Change
		answered, silent time.Time
		// by is the change that explains it; the zero value stands for none.
		by report.Change
	}{
		{"an agent that was deleted cannot report", []report.Change{gone}, never, at(51), gone},
		{"an agent on a node that was drained cannot report", []report.Change{drained}, never, at(51), drained},
		{"an agent that ran out of memory cannot report", []report.Change{oom}, never, at(51), oom},
		{"an agent that could not be reached before it was deleted is a fault", []report.Change{gone}, never, at(10),
			report.Change{}},
		{"an agent that was not changed is a fault",
			[]report.Change{{Pod: "c", Kind: report.Deleted, WindowStart: at(50)}},
			never, at(51), report.Change{}},
		{"an agent that is not known to have been silent is a fault", []report.Change{gone}, never, never,
			report.Change{}},
		{"a silence from a second before the deletion on is explained", []report.Change{gone}, never, at(49), gone},
		{"a silence from just before that on is not", []report.Change{gone}, never, at(48.9), report.Change{}},
		{"a silence that began half a minute after the deletion is explained", []report.Change{gone}, never, at(82),
			gone},
		{"a silence that began just after that is not", []report.Change{gone}, never, at(82.1), report.Change{}},
		{"a silence that began half a minute after the restart is explained", []report.Change{oom}, never, at(82), oom},
		{"a silence that began just after that is not, of a restart", []report.Change{oom}, never, at(82.1),
			report.Change{}},
		{"a deletion whose end is not told began then, and explains half a minute", []report.Change{endless}, never,
			at(80), endless},
		{"a deletion whose end is not told explains no more", []report.Change{endless}, never, at(80.1),
			report.Change{}},
		{"a restart long ago explains no silence", []report.Change{oom}, at(500), at(502), report.Change{}},
		{"an agent that did not come back stays silent", []report.Change{crashed}, never, at(500), crashed},
		{"an agent that is rarely asked may have fallen silent at the restart", []report.Change{oom}, at(40), at(400),
			oom},
		{"an agent that answered half a minute after the restart may have fallen silent then", []report.Change{oom},
			at(82), at(400), oom},
		{"an agent that answered after that was well again", []report.Change{oom}, at(82.1), at(400), report.Change{}},
		{"an answer that came after the silence says nothing of when it began", []report.Change{oom}, at(60), at(51),
			oom},
		{"of two changes the later one is told of", []report.Change{again, oom}, at(40), at(400), again},
		{"a change after the silence is none of its reasons", []report.Change{oom, again}, at(40), at(55), oom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := report.Missing{Pod: "b", Reason: "no answer", LastAnswered: c.answered}
			if c.by.Pod != "" {
				want.Excused, want.Change, want.Reason = true, &c.by, phrases.ChangeDuringRound(c.by)
			}
			round := report.Round{Churn: c.changes,
				Missing: []report.Missing{{Pod: "b", Reason: "no answer", LastAnswered: c.answered}}}
			got := churn.Excuse(round, map[string]time.Time{"b": c.silent})
			if diff := cmp.Diff([]report.Missing{want}, got.Missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			if round.Missing[0].Excused {
				t.Error("the round that was given is changed")
			}
		})
	}
}

func TestAgentsThatWereStopped(t *testing.T) {
	gone := report.Change{Pod: "b", Node: "nb", Kind: report.Deleted, WindowStart: at(50), WindowEnd: at(52)}
	cases := []struct {
		name             string
		ended            time.Time
		earliest, latest time.Time
		finished, cut    bool
	}{
		{"an agent that ended when it was deleted was cut", at(51), at(0), at(0), false, true},
		{"an agent that ended before was not", at(48.9), at(0), at(0), false, false},
		{"an agent that may have ended just before, or then, was cut", at(48), at(0), at(1), false, true},
		{"an agent that ended half a minute after its deletion was cut", at(82), at(0), at(1), false, true},
		{"an agent that ended later was not", at(82.1), at(0), at(1), false, false},
		{"an agent of which it is not known when it started is believed", at(51), time.Time{}, time.Time{}, false,
			true},
		{"an agent that started before a moment, nobody knows after which, is believed to have ended later", at(82.1),
			time.Time{}, at(0), false, false},
		{"an agent that started after a moment, nobody knows before which, is believed to have ended then", at(51),
			at(0), time.Time{}, false, true},
		{"an agent that finished was not cut", at(51), at(0), at(0), true, false},
		{"an agent that never ended was not cut", time.Time{}, at(0), at(0), false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := report.AgentReport{Pod: "b", Started: at(0), Ended: c.ended, Finished: c.finished,
				Earliest: c.earliest,
				Latest:   c.latest}
			round := report.Round{Churn: []report.Change{gone}, Agents: []report.AgentReport{want}}
			if c.cut {
				want.StoppedBy, want.StoppedWhy = &gone, "its pod was deleted during the round"
			}
			if diff := cmp.Diff([]report.AgentReport{want}, churn.Excuse(round, nil).Agents,
				cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("agents (-want +got):\n%s", diff)
			}
		})
	}
}
