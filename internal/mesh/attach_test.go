package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestAttach(t *testing.T) {
	plan := mesh.Plan{Targets: []target.Target{
		{ID: "a", Kind: target.Endpoint, Pod: "pod-a", Node: "n1"},
		{ID: "b", Kind: target.ClusterIP, OnlyNode: "n2"},
		{ID: "c", Kind: target.NodePort, AtNode: "n3", External: true, Further: true},
	}}
	for _, c := range []struct {
		name string
		// paths are the IDs in the report.
		paths []string
		// want are the places in the plan of the targets of the paths that stay.
		want []int
	}{
		{"all paths in the plan's order", []string{"a", "b", "c"}, []int{0, 1, 2}},
		{"all paths in another order", []string{"c", "a", "b"}, []int{2, 0, 1}},
		{"one path of three", []string{"b"}, []int{1}},
		{"no path", []string{}, []int{}},
		{"a path of a target that the plan does not have is removed", []string{"a", "x", "c"}, []int{0, 2}},
		{"one path more than the plan has is removed", []string{"a", "b", "c", "x"}, []int{0, 1, 2}},
		{"a report of unknown targets alone has no path left", []string{"x", "y"}, []int{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r report.AgentReport
			for _, id := range c.paths {
				path := report.Path{Target: target.Target{ID: id}}
				path.Persistent = &report.Path{Target: target.Target{ID: id}}
				r.Paths = append(r.Paths, path)
			}
			plan.Attach(&r)
			if len(r.Paths) != len(c.want) {
				t.Fatalf("%d paths stay, want %d", len(r.Paths), len(c.want))
			}
			for i, place := range c.want {
				if diff := cmp.Diff(plan.Targets[place], r.Paths[i].Target); diff != "" {
					t.Errorf("target of path %d (-plan +attached):\n%s", i, diff)
				}
				if r.Paths[i].Persistent.Target != r.Paths[i].Target {
					t.Errorf("the persistent stream of path %d has the target %+v", i, r.Paths[i].Persistent.Target)
				}
			}
		})
	}
}
