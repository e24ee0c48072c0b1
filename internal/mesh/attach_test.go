package mesh_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
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
			if err := plan.Attach(&r); err != nil {
				t.Fatal(err)
			}
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

// TestSumsAreHeldAgainstThePlan: a report of which the sums leave a path out, or count one twice, is no report.
func TestSumsAreHeldAgainstThePlan(t *testing.T) {
	m := mesh.New(schedule.Key{UID: "u", Round: 1}, report.TaskRef{}, largeCluster(120, 2, nil), defaultWant())
	assigned := m.Assign()
	plan := assigned.PlanOf(3)
	// The listed paths, and the sums of all others by group; the last path of all did not pass.
	honest := func() report.AgentReport {
		r := report.AgentReport{Ended: time.Unix(1, 0)}
		sums := map[uint32]*report.Sum{}
		for i := range plan.Len() {
			if i < plan.Detail.Listed {
				r.Paths = append(r.Paths, report.Path{Target: target.Target{ID: plan.At(i).ID}})
				continue
			}
			group := plan.Detail.Groups[i]
			if sums[group] == nil {
				sums[group] = &report.Sum{Group: group}
			}
			sums[group].Paths++
		}
		last := plan.Len() - 1
		sums[plan.Detail.Groups[last]].NotPassed = 1
		r.NotListed = []report.NotListed{{Index: uint32(last)}}
		for group := range uint32(len(plan.Detail.Known)) {
			r.Sums = append(r.Sums, *sums[group])
		}
		return r
	}
	for _, c := range []struct {
		name   string
		damage func(*report.AgentReport)
		fits   bool
	}{
		{"all paths are counted once", func(*report.AgentReport) {}, true},
		{"nothing but the state while the round runs",
			func(r *report.AgentReport) { *r = report.AgentReport{} }, true},
		{"a sum is missing", func(r *report.AgentReport) { r.Sums = r.Sums[1:] }, false},
		{"a sum has a path less", func(r *report.AgentReport) { r.Sums[0].Paths-- }, false},
		{"a sum has a path more", func(r *report.AgentReport) { r.Sums[0].Paths++ }, false},
		{"a listed path is missing", func(r *report.AgentReport) { r.Paths = r.Paths[1:] }, false},
		{"a path that did not pass is not named", func(r *report.AgentReport) { r.NotListed = nil }, false},
		{"a path of another group is named", func(r *report.AgentReport) { r.NotListed[0].Index-- }, false},
		{"a listed path is named as not listed", func(r *report.AgentReport) { r.NotListed[0].Index = 0 }, false},
		{"a path beyond all is named", func(r *report.AgentReport) { r.NotListed[0].Index++ }, false},
		{"a group beyond all", func(r *report.AgentReport) { r.Sums[0].Group = 999 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := honest()
			c.damage(&r)
			if err := assigned.Attach(3, &r); (err == nil) != c.fits {
				t.Fatalf("got %v", err)
			}
			if !c.fits || len(r.Sums) == 0 {
				return
			}
			if got := r.NotListed[0].Target; got == nil || got.ID != plan.At(plan.Len()-1).ID {
				t.Errorf("the path that did not pass leads to %+v", got)
			}
			for _, sum := range r.Sums {
				if sum.Zone == "" || sum.Total.Target.Kind == "" || sum.Total.Target.Family != topology.IPv4 {
					t.Errorf("a sum is of %+v in zone %q", sum.Total.Target, sum.Zone)
				}
			}
		})
	}
	small := mesh.Plan{Targets: plan.Targets[:1]}
	if err := small.Attach(&report.AgentReport{Sums: []report.Sum{{Paths: 1}}}); err == nil {
		t.Error("sums are taken that nobody asked for")
	}
}
