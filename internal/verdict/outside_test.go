package verdict_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// A node is looked at in part if anybody was to report from it.
func TestNodesAreLookedAtInPartByWhoeverIsThere(t *testing.T) {
	outside := []report.Outside{{Node: "n", Reason: "it is virtual"}}
	for _, c := range []struct {
		name  string
		round report.Round
		code  verdict.Code
		of    uint64
	}{
		{"nobody", report.Round{}, verdict.NodesLeftOut, 1},
		{"an agent that is expected", report.Round{Expected: []report.Expected{{Pod: "a", Node: "n"}}},
			verdict.NodesInPart, 1},
		{"an agent that reported", report.Round{Agents: []report.AgentReport{{Pod: "a", Node: "n"}}},
			verdict.NodesInPart, 1},
		{"an agent that is missing", report.Round{Missing: []report.Missing{{Pod: "a", Node: "n"}}},
			verdict.NodesInPart, 1},
		{"an agent without a node", report.Round{Missing: []report.Missing{{Pod: "a"}}}, verdict.NodesLeftOut, 1},
		{"agents of other nodes", report.Round{Expected: []report.Expected{{Pod: "a", Node: "m"}},
			Agents:  []report.AgentReport{{Pod: "a", Node: "m"}},
			Missing: []report.Missing{{Pod: "b", Node: "o"}}}, verdict.NodesLeftOut, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.round.Outside = outside
			want := []verdict.Note{{Code: c.code, Count: 1, Of: c.of, Outside: outside}}
			if diff := cmp.Diff(want, verdict.Notes(c.round, verdict.Verdict{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
