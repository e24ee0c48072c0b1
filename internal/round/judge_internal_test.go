package round

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/store"
)

func TestTheKeptRoundTellsWhatWasPlanned(t *testing.T) {
	plan := store.Plan{Mesh: mesh.Mesh{
		Load:     report.Load{Asked: 100, Given: 25, Limit: 50, Targets: 2, Connections: 50, Tracked: 500},
		Expected: []report.Expected{{Pod: "a", Node: "n", LeftOut: "pod is Pending"}},
		Backends: []report.Backends{{Targets: []string{"t"}, Pods: []string{"a", "b"}}},
	}}
	kept := judge(Request{}, plan, nil, nil).Round
	if kept.Load != plan.Mesh.Load {
		t.Errorf("load is %+v, want %+v", kept.Load, plan.Mesh.Load)
	}
	if diff := cmp.Diff(plan.Mesh.Expected, kept.Expected); diff != "" {
		t.Errorf("expected (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(plan.Mesh.Backends, kept.Backends); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
}
